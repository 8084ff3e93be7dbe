"""What serves a path, by routes as `vercel build` generates them, phase by phase as the platform applies them."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

# What a route of config.json may have; one that has more would be applied wrongly.
ROUTE_KEYS = frozenset({"src", "dest", "check", "continue", "headers", "methods", "status", "caseSensitive", "handle"})


@dataclass(frozen=True, slots=True)
class Match:
    """What serves a request: a function's or a static file's path, or nothing but a status; and headers to add."""

    target: str | None
    status: int
    query: str
    headers: dict[str, str]


class Routes:
    """The routes of config.json, applied phase by phase as the platform does."""

    def __init__(self, routes: list[dict[str, Any]], targets: set[str]) -> None:
        self._targets = targets
        self._phases: dict[str, list[dict[str, Any]]] = {}
        phase = ""
        for route in routes:
            if unknown := set(route) - ROUTE_KEYS:
                raise ValueError(f"cannot apply a route with {', '.join(sorted(unknown))}: {route}")
            if "handle" in route:
                phase = route["handle"]
            else:
                self._phases.setdefault(phase, []).append(route)

    def find(self, method: str, path: str, query: str = "") -> Match:
        """What serves path, which is percent-encoded as it came."""
        headers: dict[str, str] = {}
        found = self._apply("", method, path, headers)
        if not found and (target := self._file(path)):
            found = target, 200, ""
        found = found or self._apply("filesystem", method, path, headers)
        found = found or self._apply("miss", method, path, headers)
        found = found or (None, 404, "")
        if found[0] is None and found[1] >= 400:
            found = self._apply("error", method, path, headers, status=found[1]) or found
        target, status, added = found
        return Match(target, status, _merged(query, added), headers)

    def _apply(
        self, phase: str, method: str, path: str, headers: dict[str, str], status: int | None = None
    ) -> tuple[str | None, int, str] | None:
        """The target, the status and the query of the first route of phase that leads somewhere."""
        for route in self._phases.get(phase, []):
            source = route.get("src", "")
            found = re.search(source, path, 0 if route.get("caseSensitive") else re.IGNORECASE)
            if not found or method not in route.get("methods", [method]):
                continue
            if status is not None and route.get("status", status) != status:
                continue
            headers |= {name: _filled(value, found) for name, value in route.get("headers", {}).items()}
            if "dest" in route:
                to, _, query = _filled(route["dest"], found).partition("?")
                target = self._file(to)
                if target is None and phase != "miss" and (missed := self._apply("miss", method, to, headers)):
                    return missed[0], missed[1], _merged(query, missed[2])
                if target is not None:
                    return target, route.get("status", 200), query
                if route.get("continue"):
                    path = to
                elif not route.get("check") and status is None:
                    return None, 404, ""
            elif "status" in route and not route.get("continue"):
                return None, route["status"], ""
        return None

    def _file(self, path: str) -> str | None:
        for name in dict.fromkeys((path.strip("/"), unquote(path).strip("/"))):
            for candidate in (name, f"{name}/index".lstrip("/"), f"{name}/index.html".lstrip("/")):
                if candidate in self._targets:
                    return candidate
        return None


def _filled(text: str, found: re.Match[str]) -> str:
    return re.sub(r"\$(\d)", lambda number: found[int(number[1])] or "", text)


def _merged(query: str, added: str) -> str:
    """The client's query, its encoding kept, and what the route adds, unless the client has one of that name."""
    names = {pair.partition("=")[0] for pair in query.split("&")}
    return "&".join([*filter(None, [query]), *(p for p in added.split("&") if p and p.partition("=")[0] not in names)])
