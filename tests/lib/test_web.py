"""What an endpoint does where the client cannot see it: keys, failures, the log, the start and end of the process."""

import asyncio
import gc
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from lib import db
from lib.web import App, Request, Response, application, endpoint
from scripts.stack.router import ROOT, Router, load

Run = Callable[[Awaitable[Any]], Any]


def request(app: App, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer of an application in this process."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.request(method, path, **options)
        await db.close()
        return answer

    return asyncio.run(send())


@pytest.fixture
def router() -> Router:
    return Router()


def log(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


class TestKeys:
    @pytest.fixture(autouse=True)
    def keys(self, configure: Callable[..., None], database_url: str) -> None:
        configure(DATABASE_URL=database_url, API_KEYS="first-key, second-key")

    @pytest.mark.parametrize("authorization", ["Bearer first-key", "bearer second-key", "Bearer  first-key "])
    def test_let_in_whoever_has_one(self, router: Router, authorization: str) -> None:
        answer = request(router, "GET", "/api/v1/contexts", headers={"authorization": authorization})

        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer first",
            "Bearer first-key2",
            "Basic first-key",
            "first-key",
            "Bearer é",
        ],
    )
    def test_keep_out_whoever_has_none_and_ask_nothing_of_the_database(
        self, router: Router, authorization: str | None, configure: Callable[..., None]
    ) -> None:
        configure(DATABASE_URL="postgresql://127.0.0.1:1/unreachable")
        headers = [(b"authorization", authorization.encode())] if authorization is not None else []

        for path in (
            "/api/v1/contexts",
            "/api/v1/contexts/x",
            "/api/v1/contexts/x/messages",
            "/api/v1/contexts/x/window",
        ):
            answer = request(router, "GET", path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["code"] == "unauthorized"
            assert answer.headers["www-authenticate"] == 'Bearer realm="kata-context"'
            assert "db;dur=0.0" in answer.headers["server-timing"]

    def test_are_not_needed_for_health_and_unknown_paths(self, router: Router) -> None:
        assert request(router, "GET", "/api/health").status_code == 200
        assert request(router, "GET", "/nope").status_code == 404

    def test_may_have_bytes_that_are_not_utf_8(
        self, router: Router, configure: Callable[..., None], database_url: str
    ) -> None:
        configure(DATABASE_URL=database_url, API_KEYS=b"first-key,\xff\xe9".decode(errors="surrogateescape"))

        for key, status in ((b"first-key", 200), (b"\xff\xe9", 200), (b"\xff", 401)):
            headers = [(b"authorization", b"Bearer " + key)]
            assert request(router, "GET", "/api/v1/contexts", headers=headers).status_code == status

    def test_are_never_logged(self, router: Router, capsys: pytest.CaptureFixture[str]) -> None:
        request(router, "GET", "/api/v1/contexts", headers={"authorization": "Bearer first-key"})
        request(router, "GET", "/api/v1/contexts", headers={"authorization": "Bearer guessed-key"})

        assert "-key" not in capsys.readouterr().out


class TestConfiguration:
    def test_on_vercel_without_keys_refuses_to_serve_and_says_why(
        self, router: Router, configure: Callable[..., None]
    ) -> None:
        configure(DATABASE_URL="postgresql://u:secret@ep-x-pooler.neon.tech/db", VERCEL="1")

        answer = request(router, "GET", "/api/v1/contexts")

        assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
        assert "API_KEYS" in answer.json()["detail"]
        assert "secret" not in answer.text
        health = request(router, "GET", "/api/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert "API_KEYS" in health.json()["checks"]["database"]["error"]

    def test_on_vercel_without_a_pooler_refuses_to_serve(self, router: Router, configure: Callable[..., None]) -> None:
        configure(DATABASE_URL="postgresql://u:secret@ep-x.neon.tech/db", VERCEL="1", API_KEYS="k")

        answer = request(router, "GET", "/api/v1/contexts", headers={"authorization": "Bearer k"})

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "DATABASE_ALLOW_UNPOOLED" in answer.json()["detail"]

    def test_on_vercel_without_a_pooler_but_allowed_is_degraded(
        self, router: Router, configure: Callable[..., None], database_url: str
    ) -> None:
        configure(DATABASE_URL=database_url, VERCEL="1", API_KEYS="k", DATABASE_ALLOW_UNPOOLED="1")

        answer = request(router, "GET", "/api/health")

        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


class TestHealth:
    def test_without_a_database_is_unhealthy_and_tells_no_secret(
        self, router: Router, configure: Callable[..., None], capfd: pytest.CaptureFixture[str]
    ) -> None:
        configure(DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/database")

        answer = request(router, "GET", "/api/health")

        body = answer.json()
        assert (answer.status_code, body["status"]) == (503, "unhealthy")
        assert body["checks"]["database"]["status"] == "disconnected"
        assert answer.headers["retry-after"] == "1"
        printed = capfd.readouterr()
        for word in ("someone", "secret", "127.0.0.1", "refused"):
            assert word not in answer.text
            assert word not in printed.out + printed.err

    @pytest.fixture
    def empty_database(self, database: psycopg.Connection[Any], database_url: str) -> Iterator[str]:
        database.execute("CREATE DATABASE never_migrated")
        yield database_url.replace("/postgres?", "/never_migrated?")
        database.execute("DROP DATABASE never_migrated WITH (FORCE)")

    def test_names_the_migrations_that_are_missing(
        self, router: Router, configure: Callable[..., None], empty_database: str
    ) -> None:
        configure(DATABASE_URL=empty_database)

        health = request(router, "GET", "/api/health").json()

        assert health["status"] == "degraded"
        assert health["checks"]["migrations"]["pending"][:2] == ["0001_contexts", "0002_messages"]
        answer = request(router, "GET", "/api/v1/contexts")
        assert (answer.status_code, answer.json()["code"]) == (503, "migrations_pending")


class TestFailures:
    def test_are_answered_without_anything_internal_and_logged_without_content(
        self, configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(DATABASE_URL="postgresql://localhost/x")

        async def fail(_: Request) -> Response:
            raise ValueError("what the user said")

        answer = request(endpoint(GET=fail), "GET", "/api/v1/contexts")

        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "ValueError" not in answer.text
        [line] = log(capsys)
        assert (line["level"], line["status"], line["requestId"]) == ("error", 500, answer.json()["requestId"])
        assert line["failure"].startswith("ValueError at ")
        assert "what the user said" not in json.dumps(line)

    def test_of_the_client_to_send_its_body_are_not_answered(self, run: Run, configure: Callable[..., None]) -> None:
        configure(DATABASE_URL="postgresql://localhost/x")
        app = load(ROOT / "api" / "v1" / "contexts" / "index.py")
        scope = {"type": "http", "method": "POST", "path": "/api/v1/contexts", "raw_path": b"/api/v1/contexts"}
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        run(app({**scope, "query_string": b"", "headers": []}, receive, send))

        assert sent == []


class TestWebSockets:
    def test_are_declined(self, run: Run) -> None:
        """Vercel's runtime would offer them; the close before the accept is answered with 403."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        run(endpoint()({"type": "websocket", "raw_path": b"/"}, receive, send))

        assert sent == [{"type": "websocket.close"}]


class TestLog:
    def test_is_one_line_of_json_per_request(
        self, router: Router, configure: Callable[..., None], database_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(DATABASE_URL=database_url)
        path = "/api/v1/contexts/0b2e7a64-7a3b-4c86-8d11-f6a2ad7bb0aa/window"

        request(router, "GET", f"{path}?budget=5", headers={"x-request-id": "r-1"})

        [line] = log(capsys)
        assert set(line) == {"time", "level", "requestId", "method", "route", "status", "ms", "dbMs", "code"}
        assert line["ms"] >= line["dbMs"] > 0
        assert line | {"requestId": "r-1", "method": "GET", "status": 404, "code": "context_not_found"} == line
        assert line["route"] == "/api/v1/contexts/{id}/window"

    @pytest.mark.parametrize(
        "path", ["/api/v1/contexts%3Fmetadata=secret", "/secret/" + "x" * 60_000, "/api/v1/contexts/secret/more"]
    )
    def test_shows_no_path_that_a_client_made_up(
        self, router: Router, configure: Callable[..., None], capsys: pytest.CaptureFixture[str], path: str
    ) -> None:
        configure(DATABASE_URL="postgresql://localhost/x")

        request(router, "GET", path)

        [line] = log(capsys)
        assert (line["status"], line["route"]) == (404, None)
        assert "secret" not in json.dumps(line)

    def test_is_short_whatever_a_client_sends(
        self, router: Router, configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(DATABASE_URL="postgresql://localhost/x")

        request(router, "M" * 70_000, "/api/v1/contexts/" + "x" * 60_000, headers={"x-request-id": "r" * 70_000})

        assert len(capsys.readouterr().out) < 500


class TestLifespan:
    def lifespan(self, run: Run) -> list[str]:
        """Starts and ends an application."""
        sent: list[str] = []

        async def main() -> None:
            messages = iter(["lifespan.startup", "lifespan.shutdown"])

            async def receive() -> dict[str, str]:
                return {"type": next(messages)}

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await endpoint()({"type": "lifespan"}, receive, send)

        run(main())
        return sent

    def test_warns_of_an_open_server_and_of_a_database_without_a_pooler(
        self, run: Run, configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(DATABASE_URL="postgresql://localhost/x")

        assert self.lifespan(run) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        keys, pooler = log(capsys)
        assert keys["level"] == pooler["level"] == "warning"
        assert "API_KEYS" in keys["message"]
        assert "-pooler" in pooler["message"]

    @pytest.mark.parametrize("environment", [{"DATABASE_URL": "postgresql://x-pooler.h/x", "API_KEYS": "k"}, {}])
    def test_says_nothing_where_all_is_well_or_every_request_will_say_it(
        self,
        run: Run,
        configure: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        environment: dict[str, str],
    ) -> None:
        configure(**environment)

        self.lifespan(run)

        assert log(capsys) == []

    def test_leaves_no_descriptor_behind(self, run: Run, configure: Callable[..., None]) -> None:
        configure()
        self.lifespan(run)
        before = set(Path("/proc/self/fd").iterdir())

        self.lifespan(run)

        assert set(Path("/proc/self/fd").iterdir()) == before

    def test_turns_nagles_algorithm_off_also_on_the_connection_that_woke_the_process(
        self, run: Run, configure: Callable[..., None]
    ) -> None:
        configure()
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as other:
            self.lifespan(run)

            for sock in (listening, other):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    @pytest.mark.parametrize("name", application.ABSENT)
    def test_makes_imports_of_vercels_own_package_fail_at_once(
        self, run: Run, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        configure()
        monkeypatch.delitem(sys.modules, name, raising=False)

        self.lifespan(run)

        with pytest.raises(ModuleNotFoundError, match="halted"):
            import_module(name)

    def test_leaves_vercels_own_package_alone_where_it_is_there(
        self, run: Run, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        configure()
        (tmp_path / "vercel").mkdir()
        (tmp_path / "vercel" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        for name in application.ABSENT:
            monkeypatch.delitem(sys.modules, name, raising=False)

        self.lifespan(run)

        assert not sys.modules.keys() & set(application.ABSENT)

    def test_looks_for_garbage_again_but_not_in_what_has_been_imported(
        self, run: Run, configure: Callable[..., None]
    ) -> None:
        configure()
        gc.set_threshold(200_000)

        self.lifespan(run)

        assert gc.get_threshold()[0] < 10_000
        assert not any(tracked is application.__dict__ for tracked in gc.get_objects())
