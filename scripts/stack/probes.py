"""Requests of every shape that a router may take apart in a way of its own, to tell two servers of the API apart."""

import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

CONTEXTS = "/api/v1/contexts"
CONTEXT = f"{CONTEXTS}/00000000-0000-4000-8000-000000000000"

PATHS = (
    "/",
    "/health",
    "/api",
    "/api/health",
    "/api/not_found",
    "/api/nothing",
    "/api/v1",
    CONTEXTS,
    CONTEXT,
    f"{CONTEXT}/messages",
    f"{CONTEXT}/window",
    f"{CONTEXT}/nothing",
    f"{CONTEXT}/window/more",
    f"{CONTEXTS}/[id]/window",
    "/llms.txt",
    "/openapi.json",
    "/docs",
    "/404",
    "/nothing",
    "/lib/config",
    "/pyproject.toml",
)

# What is put behind each of them.
ENDS = (
    "/",
    "//",
    "/.",
    "/..",
    "/index",
    "/index.html",
    "/llms.txt",
    "/index.py",
    ".py",
    ".html",
    ".",
    "%",
    "%00",
    "%20",
)
QUERIES = ("?", "?id=x", "?a=b&id=", "?%69d=x", "?limit=1&budget=5")
METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "UNKNOWN")

# What differs from answer to answer, or tells which server it is and no more.
VOLATILE = {"date", "server", "connection", "x-request-id", "server-timing", "content-length", "transfer-encoding"}

# Seconds: a function may have to start first.
TIMEOUT = 60.0


def _encoded(path: str) -> str:
    """The path with the first letter of its last part percent-encoded, which changes no meaning."""
    return re.sub(r"(?<=/)(\w)(?=[^/]*$)", lambda found: f"%{ord(found[1]):02x}", path)


def _variants(path: str) -> list[str]:
    last = path.rindex("/")
    return [
        *(path + end for end in ("", *ENDS, *QUERIES)),
        f"/{path}",
        f"/.{path}",
        f"/nothing/..{path}",
        path.upper(),
        path.title(),
        _encoded(path),
        _encoded(path) + "/",
        f"{path[:last]}//{path[last + 1 :]}",
        f"{path[:last]}%2F{path[last + 1 :]}",
        f"/%2e{path}",
        path.replace("/", "\\"),
        f"{path};x=1",
        path.replace("contexts", "contexts\u00e9").encode().decode("latin-1"),
    ]


# Method and target, as they stand in a request's first line.
PROBES = list(
    dict.fromkeys(
        [
            *(("GET", target) for path in PATHS for target in _variants(path)),
            *((method, path) for path in PATHS for method in METHODS),
            ("OPTIONS", "*"),
            ("GET", "http://127.0.0.1/api/health"),
            ("GET", "/" + "a/" * 2000),
        ]
    )
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What two servers must have in common of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """The answer to a request without a body, its target sent as it is: HTTP libraries would put it in order first."""
    host = urlsplit(url)
    lines = [f"{method} {target} HTTP/1.1", f"host: {host.netloc}", "connection: close", "content-length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((host.hostname, host.port), TIMEOUT) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        with http.client.HTTPResponse(sock, method=method) as response:
            response.begin()
            return _comparable(response.status, response.getheaders(), response.read())


def _comparable(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """Without what differs from request to request: of the API's own answers a problem's code is all that stays."""
    kept = {name.lower(): value for name, value in headers if name.lower() not in VOLATILE}
    kind = kept.get("content-type")
    if kind == "application/json":
        body = b""
        for name in ("location", "etag"):
            kept.pop(name, None)
    elif kind == "application/problem+json" and body:
        body = str(json.loads(body)["code"]).encode()
    return Answer(status, kept, body)
