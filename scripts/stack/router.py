"""The whole API as one ASGI application, with the routes, static files and headers that Vercel would give it.

For `make dev`, tests and benchmarks. The same code applies them here and to the bundle (scripts/stack/vercel).
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

from lib.web import App, Receive, Scope, Send
from scripts.stack.vercel import config, edge
from scripts.stack.vercel.routes import Match, Routes

ROOT = Path(__file__).parents[2]

# Start and end of the process go to one function: all share a pool.
LIFESPAN = "api/health"


def load(path: Path) -> App:
    """The `app` of an endpoint file; `[id]` in its path keeps it from being imported by name."""
    name = re.sub(r"\W", "_", str(path.with_suffix("")))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec, path
    assert spec.loader, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: App = module.app
    return app


class Router:
    """Serves the project in folder as `vercel build` would route it."""

    def __init__(self, folder: Path = ROOT, **extra: App) -> None:
        """extra maps further paths, such as `noop`, to applications. Raises ConfigError."""
        settings = config.read(folder / "vercel.json")
        functions = config.functions(folder)
        self.routes = config.routes(settings, functions)
        self.static = config.static(folder, settings)
        self._apps = {**{name: load(path) for name, path in functions.items()}, **extra}
        self._routes = Routes(self.routes, {*self._apps, *self.static})

    def find(self, method: str, path: str, query: str = "") -> Match:
        """What serves path, which is percent-encoded as it came."""
        return self._routes.find(method, path, query)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request to what serves it."""
        if scope["type"] == "lifespan":
            await self._apps[LIFESPAN](scope, receive, send)
            return
        method: str = scope.get("method", "GET")  # a web socket has none
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        match = self.find(method, path, scope["query_string"].decode("latin-1"))

        async def completed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = edge.complete(message["headers"], match.headers)
            await send(message)

        if app := self._apps.get(match.target or ""):
            await app({**scope, "query_string": match.query.encode("latin-1")}, receive, completed)
            return
        answer = edge.answer(match, self.static, method)
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        await completed({"type": "http.response.start", "status": answer.status, "headers": headers})
        await completed({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
