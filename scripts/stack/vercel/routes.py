"""What serves a path, by routes as in config.json, phase by phase as the platform applies them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

# What a route of config.json may have; one that has more would be applied wrongly.
KEYS = frozenset({"src", "dest", "check", "continue", "headers", "methods", "status", "caseSensitive", "handle"})

NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Match:
    """What serves a request: a function's or a static file's path, or nothing but a status; and headers to add."""

    target: str | None
    status: int
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a phase leads to, and the query that it adds."""

    target: str | None
    status: int
    query: str = ""


class Route:
    """One of config.json's routes."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        """Raises ValueError for members that are not applied here."""
        if unknown := members.keys() - KEYS:
            raise ValueError(f"cannot apply a route with {', '.join(sorted(unknown))}: {members}")
        # re.ASCII: the platform's \w knows no other letters.
        flags = re.ASCII if members.get("caseSensitive") else re.ASCII | re.IGNORECASE
        self.source = re.compile(members.get("src", ""), flags)
        self.destination: str | None = members.get("dest")
        self.headers: dict[str, str] = members.get("headers", {})
        self.methods: Collection[str] | None = members.get("methods")
        self.status: int | None = members.get("status")
        self.checks: bool = members.get("check", False)
        self.continues: bool = members.get("continue", False)

    def match(self, method: str, path: str, status: int | None) -> re.Match[str] | None:
        """What it matches of path, if it is for that method, and for that error's status where there is one."""
        if self.methods is not None and method not in self.methods:
            return None
        if status is not None and self.status not in {None, status}:
            return None
        return self.source.search(path)


class Routes:
    """The routes of config.json."""

    def __init__(self, routes: Iterable[Mapping[str, Any]], targets: Iterable[str]) -> None:
        """targets are the functions' and static files' paths without the leading slash. Raises ValueError."""
        self._targets = frozenset(targets)
        self._phases: dict[str, list[Route]] = {}
        phase = ""
        for members in routes:
            route = Route(members)
            if "handle" in members:
                phase = members["handle"]
            else:
                self._phases.setdefault(phase, []).append(route)

    def find(self, method: str, path: str, query: str = "") -> Match:
        """What serves path, which is percent-encoded as it came."""
        headers: dict[str, str] = {}
        found = self._apply("", method, path, headers)
        if not found and (target := self._file(path)):
            found = Found(target, 200)
        found = found or self._apply("filesystem", method, path, headers)
        found = found or self._apply("miss", method, path, headers)
        found = found or Found(None, NOT_FOUND)
        if found.target is None and found.status >= 400:
            found = self._apply("error", method, path, headers, status=found.status) or found
        return Match(found.target, found.status, _merged(query, found.query), headers)

    def _apply(
        self, phase: str, method: str, path: str, headers: dict[str, str], status: int | None = None
    ) -> Found | None:
        """Where the first route of phase that leads somewhere leads to; status is that of an error."""
        for route in self._phases.get(phase, ()):
            found = route.match(method, path, status)
            if not found:
                continue
            for name, value in route.headers.items():
                headers[name] = _filled(value, found)
            if route.destination is not None:
                to, _, query = _filled(route.destination, found).partition("?")
                if target := self._file(to):
                    return Found(target, route.status or 200, query)
                if phase != "miss" and (missed := self._apply("miss", method, to, headers)):
                    return Found(missed.target, missed.status, _merged(query, missed.query))
                if not (route.continues or route.checks or status):
                    return Found(None, NOT_FOUND)
                path = to
            elif route.status and not route.continues:
                return Found(None, route.status)
            elif not route.continues:
                return None  # it ends the phase and leads nowhere
        return None

    def _file(self, path: str) -> str | None:
        for name in (path.strip("/"), unquote(path).strip("/")):
            for candidate in (name, f"{name}/index".lstrip("/"), f"{name}/index.html".lstrip("/")):
                if candidate in self._targets:
                    return candidate
            if "%" not in path:
                break
        return None


def _filled(text: str, found: re.Match[str]) -> str:
    groups = dict(enumerate(found.groups(), 1))
    return re.sub(r"\$(\d)", lambda number: groups.get(int(number[1])) or "", text) if "$" in text else text


def _merged(query: str, added: str) -> str:
    """The client's query, its encoding kept, and what the route adds, unless the client has one of that name."""
    if not added:
        return query
    names = {pair.partition("=")[0] for pair in query.split("&")}
    return "&".join([*filter(None, [query]), *(p for p in added.split("&") if p and p.partition("=")[0] not in names)])
