"""The routes that `vercel build` writes into config.json, made from vercel.json and the files of api/.

`make bundle` compares them with those of the real builder. Must never pass over a setting that it does not apply.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

type Route = dict[str, Any]
type Settings = dict[str, Any]

ROUTING = {"rewrites", "redirects", "headers", "cleanUrls", "trailingSlash"}
WITHOUT_ROUTES = {"$schema", "framework", "git", "functions", "regions", "crons", "buildCommand", "installCommand"}

# What an entry of each list may have. `has`, `missing` and the rest would need more of a request than its path.
MEMBERS = {
    "rewrites": {"source", "destination"},
    "redirects": {"source", "destination", "permanent", "statusCode"},
    "headers": {"source", "headers"},
}

# What path-to-regexp reads as more than itself outside of a group.
SYNTAX = re.compile(r"[:*+?{}()\\]")


class ConfigError(Exception):
    """vercel.json cannot be read or says what is not applied here; the text says what."""


def read(path: Path) -> Settings:
    """The settings in vercel.json. Raises ConfigError."""
    try:
        settings: Settings = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path.name}: {error}") from None
    return settings


def functions(folder: Path) -> dict[str, Path]:
    """Each function of the project in folder by its path without the leading slash, and the file that it is made of."""
    # Vercel makes none of a file that begins with _ or a dot.
    files = sorted(file for file in folder.glob("api/**/*.py") if file.name[0] not in "_.")
    return {str(file.relative_to(folder).with_suffix("")): file for file in files}


def static(folder: Path, settings: Settings) -> dict[str, Path]:
    """Each published file of the project in folder by its path without the leading slash."""
    public = folder / "public"
    files = {str(path.relative_to(public)): path for path in sorted(public.rglob("*")) if path.is_file()}
    if not settings.get("cleanUrls"):
        return files
    return {name.removesuffix(".html"): path for name, path in files.items()}


def routes(settings: Settings, functions: Iterable[str]) -> list[Route]:
    """The routes, phase by phase. Raises ConfigError for what is not supported."""
    _refuse_unknown(settings)
    slash = "/" if settings.get("trailingSlash") else ""
    clean = settings.get("cleanUrls", False)
    made: list[Route] = []
    if clean:
        made.append(_moved(r"^/(?:(.+)/)?index(?:\.html)?/?$", f"/$1{slash}"))
        made.append(_moved(r"^/(.*)\.html/?$", f"/$1{slash}"))
    made += _trailing_slash(settings.get("trailingSlash"))
    made += [_redirect(entry) for entry in settings.get("redirects", [])]
    made += [
        {
            "src": pattern(entry["source"]),
            "headers": {header["key"]: header["value"] for header in entry["headers"]},
            "continue": True,
        }
        for entry in settings.get("headers", [])
    ]
    if clean:
        made.append(_moved(r"^/(api(?:.+)?)/index(?:\.(?:py))?/?$", f"/$1{slash}"))
        made.append(_moved(r"^/api/(.+)(?:\.(?:py))/?$", f"/api/$1{slash}"))
    made.append({"handle": "filesystem"})
    made += [_rewrite(entry) for entry in settings.get("rewrites", [])]
    made += [_dynamic(name, clean=clean) for name in sorted(functions, key=_order) if "[" in name]
    made.append({"src": "^/api(/.*)?$", "status": 404})
    made.append({"handle": "error"})
    made.append({"status": 404, "src": "^(?!/api).*$", "dest": "/404" if clean else "/404.html"})
    if not clean:
        made.append({"handle": "miss"})
        made.append({"src": r"^/api/(.+)(?:\.(?:py))$", "dest": "/api/$1", "check": True})
    return made


def _refuse_unknown(settings: Settings) -> None:
    unknown = settings.keys() - ROUTING - WITHOUT_ROUTES
    for name, members in MEMBERS.items():
        unknown |= {f"{member} in {name}" for entry in settings.get(name, []) for member in entry.keys() - members}
    if unknown:
        raise ConfigError(f"vercel.json has what is not applied here: {', '.join(sorted(unknown))}")


def _moved(source: str, location: str) -> Route:
    return {"src": source, "headers": {"Location": location}, "status": 308}


def _trailing_slash(wanted: bool | None) -> list[Route]:
    if wanted is None:
        return []
    if not wanted:
        return [_moved("^/(.*)/$", "/$1")]
    return [
        {"src": r"^/\.well-known(?:/.*)?$"},
        _moved(r"^/((?:[^/]+/)*[^/\.]+)$", "/$1/"),
        _moved(r"^/((?:[^/]+/)*[^/]+\.\w+)/$", "/$1"),
    ]


def _redirect(entry: dict[str, Any]) -> Route:
    destination = entry["destination"]
    _refuse_syntax(destination, re.sub(r"^https?://[^/]*|\?[^(){}]*$", "", destination))
    status = entry.get("statusCode", 308 if entry.get("permanent", True) else 307)
    return {"src": pattern(entry["source"]), "headers": {"Location": destination}, "status": status}


def _rewrite(entry: dict[str, Any]) -> Route:
    destination = entry["destination"]
    _refuse_syntax(destination, destination)
    return {"src": pattern(entry["source"]), "dest": destination, "check": True}


def _refuse_syntax(destination: str, path: str) -> None:
    """Raises ConfigError for a destination whose path is none, or more than literals and $1."""
    if (path and not path.startswith("/")) or SYNTAX.search(path):
        raise ConfigError(f"vercel.json has a destination that is not applied here: {destination}")


def pattern(source: str) -> str:
    """The regular expression of a source: of path-to-regexp's syntax literals and unnamed groups. Raises ConfigError.

    A slash or dot before a group is the group's own, as path-to-regexp has it.
    """
    made, rest = "", source
    while rest:
        literal, opened, rest = rest.partition("(")
        if not source.startswith("/") or SYNTAX.search(literal):
            raise ConfigError(f"vercel.json has a source that is not applied here: {source}")
        prefix = literal[-1] if opened and literal.endswith(("/", ".")) else ""
        made += _escaped(literal.removesuffix(prefix))
        if opened:
            group, rest = _group(rest, source)
            made += f"(?:{_escaped(prefix)}({group}))" if prefix else f"({group})"
    return f"^{made}$".replace("\\/", "/")


def _group(rest: str, source: str) -> tuple[str, str]:
    """What is in the group that rest begins inside of, and what follows it."""
    depth = 1
    for found in re.finditer(r"\\.|\((?!\?)|\(|\)", rest):
        if found[0] == "(" and not rest.startswith("(?", found.start()):
            raise ConfigError(f"vercel.json has a group inside a group, which must be (?:…): {source}")
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if not depth:
            return rest[: found.start()], rest[found.end() :]
    raise ConfigError(f"vercel.json has a group without an end: {source}")


def _escaped(text: str) -> str:
    return re.sub(r"[.+*?=^!:${}()[\]|\\]", r"\\\g<0>", text)


def _order(name: str) -> tuple[int, int, str]:
    """Deeper functions first, then those with fewer names in brackets."""
    parts = name.split("/")
    return -len(parts), sum(part.startswith("[") for part in parts), name


def _dynamic(name: str, *, clean: bool) -> Route:
    *folders, last = PurePosixPath(name).parts
    names = [part[1:-1] for part in (*folders, last) if part.startswith("[")]
    source = "".join("/([^/]+)" if part.startswith("[") else f"/{part}" for part in folders)
    if last.startswith("["):
        source += "/([^/]+)"
    elif last == "index":
        source += f"({'|'.join(['/', '/index', *([] if clean else [r'/index\.py'])])})?"
    else:
        file = _escaped(last)
        source += f"/({'|'.join([f'{last}/', file, *([] if clean else [rf'{file}\.py'])])})"
    query = "&".join(f"{key}=${number}" for number, key in enumerate(names, 1))
    return {"src": f"^{source}$", "dest": f"/{name}?{query}", "check": True}
