"""The whole API as one ASGI application, routed by file as Vercel does it: for `make dev`, tests and benchmarks."""

import importlib.util
import json
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path

from lib.web import App, Receive, Scope, Send

ROOT = Path(__file__).parents[2]
API = ROOT / "api"
PUBLIC = ROOT / "public"


def load(path: Path) -> App:
    """The `app` of an endpoint file; `[id]` in its path keeps it from being imported by name."""
    name = re.sub(r"\W", "_", str(path.relative_to(ROOT).with_suffix("")))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec, path
    assert spec.loader, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: App = module.app
    return app


def static(path: Path) -> App:
    """Serves a file of public/, for GET and HEAD as for anything else."""
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"

    body = path.read_bytes()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app


def endpoints() -> Iterator[tuple[str, Path]]:
    """Each endpoint file with the pattern of the paths that it serves."""
    for path in sorted(API.rglob("*.py")):
        route = "/" + str(path.relative_to(ROOT).with_suffix("")).removesuffix("/index")
        yield re.sub(r"\[\w+\]", "[^/]+", route), path


class Router:
    """Files first, then the rewrites of vercel.json, as on the platform."""

    def __init__(self, **extra: App) -> None:
        """extra maps further paths, such as `noop`, to applications."""
        self.routes = [(re.compile(pattern), load(path)) for pattern, path in endpoints()]
        self.routes += [(re.compile(f"/{name}"), app) for name, app in extra.items()]
        self.routes += [
            (re.compile(re.escape(f"/{path.relative_to(PUBLIC)}")), static(path))
            for path in PUBLIC.rglob("*")
            if path.is_file()
        ]
        self.rewrites = [
            (re.compile(rewrite["source"]), rewrite["destination"])
            for rewrite in json.loads((ROOT / "vercel.json").read_text())["rewrites"]
        ]

    def find(self, path: str) -> App:
        """The application that serves path."""
        path = path.rstrip("/")
        for pattern, app in self.routes:
            if pattern.fullmatch(path):
                return app
        # `OPTIONS *` and absolute URLs have no path that a rewrite could match.
        matching = (to for source, to in self.rewrites if source.fullmatch(path or "/"))
        return self.find(next(matching, "/api/not_found"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request to its endpoint. Start and end of the process go to one of them: they share a pool."""
        path = "/api/health" if scope["type"] == "lifespan" else scope["raw_path"].decode("latin-1")
        await self.find(path)(scope, receive, send)
