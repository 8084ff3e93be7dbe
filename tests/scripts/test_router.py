"""The router of make dev, on projects of its own: the routes, static files and headers that Vercel would give them.

`make bundle` compares it, request by request, with what Vercel's builder made of this project.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.stack import probes
from scripts.stack.router import ROOT, Router
from scripts.stack.vercel import config
from scripts.stack.vercel.config import ConfigError
from scripts.stack.vercel.routes import Routes

# An endpoint that answers what it was asked, as the file that it is.
ENDPOINT = """
import json
import pathlib


async def app(scope, receive, send):
    path, query = scope["raw_path"].decode(), scope["query_string"].decode()
    asked = {"file": pathlib.Path(__file__).stem, "path": path, "query": query}
    headers = [(b"content-type", b"application/json"), (b"x-mine", b"the function's")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(asked).encode()})
"""

FUNCTIONS = [
    "api/health",
    "api/not_found",
    "api/v1/contexts/index",
    "api/v1/contexts/[id]/index",
    "api/v1/contexts/[id]/window",
]
FILES = {
    "index.txt": "text",
    "docs/index.html": "<h1>docs</h1>",
    "docs/guide.html": "<h1>guide</h1>",
    "a b.txt": "a space",
    "app.js": "1",
    "data.json": "{}",
    "logo.unknown": "?",
}
SETTINGS: config.Settings = {
    "rewrites": [
        {"source": "/health", "destination": "/api/health"},
        {"source": "/((?!api/v1/contexts/[^/]+(?:/window)?/?$).*)", "destination": "/api/not_found"},
    ],
    "headers": [
        {"source": "/(.*)", "headers": [{"key": "X-All", "value": "1"}, {"key": "X-Mine", "value": "vercel.json's"}]},
        {"source": "/docs(.*)", "headers": [{"key": "Content-Security-Policy", "value": "default-src 'none'"}]},
    ],
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def asked(self) -> dict[str, str]:
        """What the endpoint was asked."""
        asked: dict[str, str] = json.loads(self.body)
        return asked


def ask(router: Router, target: str, method: str = "GET") -> Answer:
    """The router's answer to a target as it stands in a request's first line."""
    path, _, query = target.partition("?")
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "query_string": query.encode(), "headers": []}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(router(scope, receive, send))
    start, body = sent
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"])


type Make = Callable[..., Router]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A router of a project with FUNCTIONS, FILES and SETTINGS, some of them replaced."""

    def make(**settings: Any) -> Router:
        for name in FUNCTIONS:
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ENDPOINT)
        for name, text in FILES.items():
            path = tmp_path / "public" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "vercel.json").write_text(json.dumps(SETTINGS | settings))
        return Router(tmp_path)

    return make


class TestFunctions:
    @pytest.mark.parametrize(
        ("target", "file", "query"),
        [
            ("/api/health", "health", ""),
            ("/api/health/", "health", ""),
            ("/health?probe=readiness", "health", "probe=readiness"),
            ("/api/v1/contexts", "index", ""),
            ("/api/v1/%63ontexts", "index", ""),
            ("/api/v1/contexts/7", "index", "id=7"),
            ("/api/v1/contexts/7/window?budget=5", "window", "budget=5&id=7"),
            ("/api/v1/contexts/7/WINDOW", "window", "id=7"),
            ("/api/v1/contexts/a%2Fb/window", "window", "id=a%2Fb"),
            ("/api/v1/contexts/7/window?id=8", "window", "id=8"),
            ("/api/v1/contexts/7/nothing", "not_found", ""),
            ("/", "not_found", ""),
            ("/%", "not_found", ""),
        ],
    )
    def test_are_asked_as_on_vercel_with_the_original_path(
        self, make: Make, target: str, file: str, query: str
    ) -> None:
        path = target.partition("?")[0]

        assert ask(make(), target).asked == {"file": file, "path": path, "query": query}

    def test_do_not_serve_what_is_no_path(self, make: Make) -> None:
        answer = ask(make(), "*", "OPTIONS")

        assert (answer.status, answer.headers["x-vercel-error"]) == (404, "NOT_FOUND")

    def test_may_be_more_than_the_projects_own(self) -> None:
        async def noop(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        assert ask(Router(noop=noop), "/noop").status == 204


class TestStaticFiles:
    @pytest.mark.parametrize(
        ("target", "name", "kind"),
        [
            ("/index.txt", "index.txt", "text/plain; charset=utf-8"),
            ("/docs", "docs/index.html", "text/html; charset=utf-8"),
            ("/docs/", "docs/index.html", "text/html; charset=utf-8"),
            ("/docs/index.html", "docs/index.html", "text/html; charset=utf-8"),
            ("/%64ocs/guide.html?x=1", "docs/guide.html", "text/html; charset=utf-8"),
            ("/a%20b.txt", "a b.txt", "text/plain; charset=utf-8"),
            ("/app.js", "app.js", "text/javascript; charset=utf-8"),
            ("/data.json", "data.json", "application/json; charset=utf-8"),
            ("/logo.unknown", "logo.unknown", "application/octet-stream"),
        ],
    )
    def test_are_served_with_folder_indexes(self, make: Make, target: str, name: str, kind: str) -> None:
        answer = ask(make(), target)

        assert (answer.status, answer.body.decode(), answer.headers["content-type"]) == (200, FILES[name], kind)

    def test_are_read_when_they_are_asked_for(self, make: Make, tmp_path: Path) -> None:
        router = make()
        (tmp_path / "public" / "index.txt").write_text("edited")

        assert ask(router, "/index.txt").body == b"edited"

    def test_answer_head_without_a_body(self, make: Make) -> None:
        answer = ask(make(), "/index.txt", "HEAD")

        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "4")

    @pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
    def test_take_no_other_method(self, make: Make, method: str) -> None:
        assert ask(make(), "/docs", method).status == 405

    @pytest.mark.parametrize(
        "target",
        [
            "/vercel.json",
            "/../vercel.json",
            "/%2e%2e/vercel.json",
            "/docs/../../vercel.json",
            "/public/index.txt",
            "/DOCS",
            "/docs/guide",
            "//etc/passwd",
            "/docs%00",
        ],
    )
    def test_are_those_of_public_alone(self, make: Make, target: str) -> None:
        assert ask(make(), target).asked["file"] == "not_found"

    def test_may_say_that_nothing_was_found(self, make: Make, tmp_path: Path) -> None:
        make()
        (tmp_path / "public" / "404.html").write_text("nothing here")

        answer = ask(make(rewrites=[]), "/nothing")

        assert (answer.status, answer.body) == (404, b"nothing here")


class TestHeaders:
    @pytest.mark.parametrize("target", ["/api/health", "/api/v1/contexts/7", "/index.txt", "/docs", "/nothing"])
    def test_of_vercel_json_are_on_every_answer_that_its_source_matches(self, make: Make, target: str) -> None:
        answer = ask(make(), target)

        assert answer.headers["x-all"] == "1"
        assert ("content-security-policy" in answer.headers) == (target == "/docs")

    def test_give_way_to_those_of_the_function(self, make: Make) -> None:
        router = make()

        assert ask(router, "/api/health").headers["x-mine"] == "the function's"
        assert ask(router, "/index.txt").headers["x-mine"] == "vercel.json's"

    def test_are_on_the_platforms_own_refusals(self, make: Make) -> None:
        assert ask(make(), "/index.txt", "POST").headers["x-all"] == "1"


class TestMovedPaths:
    @pytest.mark.parametrize(
        ("settings", "target", "location"),
        [
            ({"cleanUrls": True}, "/docs/guide.html?a=1", "/docs/guide?a=1"),
            ({"cleanUrls": True}, "/docs/index", "/docs"),
            ({"cleanUrls": True}, "/api/health.py", "/api/health"),
            ({"trailingSlash": False}, "/docs/", "/docs"),
            ({"trailingSlash": True}, "/docs", "/docs/"),
            ({"trailingSlash": True}, "/index.txt/", "/index.txt"),
            ({"redirects": [{"source": "/old/(.*)", "destination": "/docs/$1"}]}, "/old/a%20b", "/docs/a%20b"),
        ],
    )
    def test_are_redirected(self, make: Make, settings: dict[str, Any], target: str, location: str) -> None:
        answer = ask(make(**settings), target)

        assert (answer.status, answer.headers["location"]) == (308, location)

    @pytest.mark.parametrize(
        ("settings", "target"),
        [
            ({"cleanUrls": True}, "/docs/guide"),
            ({"cleanUrls": True}, "/docs"),
            ({"cleanUrls": True, "trailingSlash": True}, "/docs/guide/"),
            ({"trailingSlash": True}, "/docs/"),
            ({"trailingSlash": False}, "/docs"),
        ],
    )
    def test_are_served_where_they_moved_to(self, make: Make, settings: dict[str, Any], target: str) -> None:
        answer = ask(make(**settings), target)

        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")

    def test_leave_well_known_ones_alone(self, make: Make) -> None:
        assert ask(make(trailingSlash=True), "/.well-known/x").asked["file"] == "not_found"


# What vercel 64.0.2 wrote into config.json for such settings.
FILESYSTEM: config.Route = {"handle": "filesystem"}
NO_FUNCTION: config.Route = {"src": "^/api(/.*)?$", "status": 404}
ERROR: list[config.Route] = [{"handle": "error"}, {"status": 404, "src": "^(?!/api).*$", "dest": "/404.html"}]
MISS = [{"handle": "miss"}, {"src": r"^/api/(.+)(?:\.(?:py))$", "dest": "/api/$1", "check": True}]
CLEAN = [
    {"src": r"^/(?:(.+)/)?index(?:\.html)?/?$", "headers": {"Location": "/$1"}, "status": 308},
    {"src": r"^/(.*)\.html/?$", "headers": {"Location": "/$1"}, "status": 308},
]
CLEAN_API = [
    {"src": r"^/(api(?:.+)?)/index(?:\.(?:py))?/?$", "headers": {"Location": "/$1"}, "status": 308},
    {"src": r"^/api/(.+)(?:\.(?:py))/?$", "headers": {"Location": "/api/$1"}, "status": 308},
]
SLASH = [
    {"src": r"^/\.well-known(?:/.*)?$"},
    {"src": r"^/((?:[^/]+/)*[^/\.]+)$", "headers": {"Location": "/$1/"}, "status": 308},
    {"src": r"^/((?:[^/]+/)*[^/]+\.\w+)/$", "headers": {"Location": "/$1"}, "status": 308},
]


class TestGeneratedRoutes:
    """Equal to what Vercel's builder made of the same settings and files."""

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, [FILESYSTEM, NO_FUNCTION, *ERROR, *MISS]),
            (
                {
                    "redirects": [
                        {"source": "/old/(.*)", "destination": "/docs/$1"},
                        {"source": "/b.c", "destination": "https://example.com/x?y=1", "permanent": False},
                    ],
                    "rewrites": [{"source": r"/a-(x|y).z/(.+)", "destination": "/docs/$1"}],
                    "headers": [{"source": "/(.*)", "headers": [{"key": "A", "value": "b"}]}],
                },
                [
                    {"src": "^/old(?:/(.*))$", "headers": {"Location": "/docs/$1"}, "status": 308},
                    {"src": r"^/b\.c$", "headers": {"Location": "https://example.com/x?y=1"}, "status": 307},
                    {"src": "^(?:/(.*))$", "headers": {"A": "b"}, "continue": True},
                    FILESYSTEM,
                    {"src": r"^/a-(x|y)\.z(?:/(.+))$", "dest": "/docs/$1", "check": True},
                    NO_FUNCTION,
                    *ERROR,
                    *MISS,
                ],
            ),
            (
                {"cleanUrls": True},
                [*CLEAN, *CLEAN_API, FILESYSTEM, NO_FUNCTION, ERROR[0], {**ERROR[1], "dest": "/404"}],
            ),
            (
                {"trailingSlash": False},
                [
                    {"src": "^/(.*)/$", "headers": {"Location": "/$1"}, "status": 308},
                    FILESYSTEM,
                    NO_FUNCTION,
                    *ERROR,
                    *MISS,
                ],
            ),
            ({"trailingSlash": True}, [*SLASH, FILESYSTEM, NO_FUNCTION, *ERROR, *MISS]),
        ],
    )
    def test_of_settings(self, settings: dict[str, Any], expected: list[dict[str, Any]]) -> None:
        assert config.routes(settings, ["api/health"]) == expected

    def test_of_names_in_brackets_the_deepest_first(self) -> None:
        names = ["api/v1/[zed]", "api/v1/c/[id]/window", "api/v1/c/[id]/[n]/x-y", "api/v1/c/[id]/index"]
        routes = [route for route in config.routes({}, names) if "[" in route.get("dest", "")]

        assert [(route["src"], route["dest"]) for route in routes] == [
            (r"^/api/v1/c/([^/]+)/([^/]+)/(x-y/|x-y|x-y\.py)$", "/api/v1/c/[id]/[n]/x-y?id=$1&n=$2"),
            (r"^/api/v1/c/([^/]+)(/|/index|/index\.py)?$", "/api/v1/c/[id]/index?id=$1"),
            (r"^/api/v1/c/([^/]+)/(window/|window|window\.py)$", "/api/v1/c/[id]/window?id=$1"),
            ("^/api/v1/([^/]+)$", "/api/v1/[zed]?zed=$1"),
        ]

    def test_redirect_to_a_slash_where_one_belongs(self) -> None:
        routes = config.routes({"cleanUrls": True, "trailingSlash": True}, ["api/health"])
        locations = [route["headers"]["Location"] for route in routes if "headers" in route]

        assert locations == ["/$1/", "/$1/", "/$1/", "/$1", "/$1/", "/api/$1/"]


class TestRefused:
    """What is not applied is not passed over either."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"routes": []},
            {"unknown": 1},
            {"headers": [{"source": "/", "headers": [], "has": []}]},
            {"rewrites": [{"source": "/:id", "destination": "/x"}]},
            {"rewrites": [{"source": "/x*", "destination": "/x"}]},
            {"rewrites": [{"source": "/x{y}", "destination": "/x"}]},
            {"rewrites": [{"source": "/(a)?", "destination": "/x"}]},
            {"rewrites": [{"source": "/(a(b))", "destination": "/x"}]},
            {"rewrites": [{"source": "/(a", "destination": "/x"}]},
            {"rewrites": [{"source": "/a)", "destination": "/x"}]},
            {"rewrites": [{"source": "x", "destination": "/x"}]},
            {"rewrites": [{"source": "/x", "destination": "https://example.com"}]},
            {"rewrites": [{"source": "/x", "destination": "/:id"}]},
            {"rewrites": [{"source": "/x", "destination": "/x?y=1"}]},
        ],
    )
    def test_is_what_only_vercel_applies(self, make: Make, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=r"^vercel\.json has "):
            make(**settings)

    def test_is_a_file_that_is_no_json(self, make: Make, tmp_path: Path) -> None:
        make()
        (tmp_path / "vercel.json").write_text("{")

        with pytest.raises(ConfigError, match=r"^cannot read vercel\.json: Expecting"):
            Router(tmp_path)

    def test_is_a_route_that_the_builder_writes_one_day(self) -> None:
        with pytest.raises(ValueError, match="cannot apply a route with locale"):
            Routes([{"src": "/", "locale": {}}], [])


class TestThisProject:
    def test_is_routed_as_it_was_meant(self) -> None:
        router = Router()

        wanted = {
            "/health": "api/health",
            "/openapi.json": "openapi.json",
            "/llms.txt": "llms.txt",
            "/docs": "docs/index.html",
            "/docs/try/": "docs/try/index.html",
            "/api/v1/contexts/7/forks": "api/v1/contexts/[id]/forks",
            "/api/v1/contexts/7/forks/8": "api/not_found",
            "/nothing": "api/not_found",
        }
        assert {path: router.find("GET", path).target for path in wanted} == wanted
        files = (file for file in (ROOT / "public").rglob("*") if file.is_file())
        assert set(router.static) == {str(file.relative_to(ROOT / "public")) for file in files}

    @pytest.mark.parametrize(
        ("path", "scripts", "trusted_types"),
        [
            ("/", False, False),
            ("/api/health", False, False),
            ("/openapi.json", False, False),
            ("/docs-and-more", False, False),
            ("/docs", True, True),
            ("/docs/", True, True),
            ("/docs/docs.css", True, True),
            ("/docs/trying", True, True),
            ("//docs", False, False),
            ("/%64ocs/try", False, False),
            ("/docs//try", True, True),
            ("/docs/%74ry", True, True),
            ("/docs/try", True, False),
            ("/docs/try/", True, False),
            ("/docs/try/init.js", True, False),
            ("/playground", True, True),
            ("/playground/preact.js", True, True),
        ],
    )
    def test_has_one_content_security_policy_for_every_path(
        self, path: str, scripts: bool, trusted_types: bool
    ) -> None:
        rules = config.read(ROOT / "vercel.json")["headers"]
        headers = [each for rule in rules if re.match(config.pattern(rule["source"]), path) for each in rule["headers"]]

        [policy] = [header["value"] for header in headers if header["key"] == "Content-Security-Policy"]

        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert ("script-src 'self'" in policy) == scripts
        assert ("require-trusted-types-for 'script'; trusted-types 'none'" in policy) == trusted_types
        assert ("data:" in policy) == (scripts and not trusted_types)

    def test_answers_every_probe_itself_and_with_its_headers(self, url: str) -> None:
        first, *policies = config.read(ROOT / "vercel.json")["headers"]
        wanted = {header["key"].lower() for header in [*first["headers"], policies[0]["headers"][0]]}
        for method, target in probes.PROBES:
            answer = probes.ask(url, method, target, {})

            assert answer.status < 500, (method, target)
            # Targets that are no paths, and what the HTTP parser refuses by itself. Redirects come before headers.
            if answer.status != 307 and target.startswith("/") and answer.body != b"Invalid HTTP request received.":
                assert answer.headers.keys() >= wanted, (method, target)
