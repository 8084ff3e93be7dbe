"""python -m scripts.smoke, in a process of its own without any package, against our server and worse ones."""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts import smoke

ROOT = Path(__file__).parent.parent.parent
KEY = 's3cret"key'
STEPS = [
    "health",
    "create",
    "append",
    "window",
    "format",
    "compact",
    "fork",
    "window",
    "undo",
    "delete",
    "delete",
    "gone",
]
STATUSES = {"create": "201", "append": "201", "compact": "201", "fork": "201", "gone": "404"}

type Answer = Callable[[bytes], bytes]
type Database = psycopg.Connection[Any]


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Starts the command; -S keeps installed packages from it."""
    kept = {name: value for name, value in os.environ.items() if name not in ("API_KEY", "PYTHONPATH")}
    return subprocess.Popen(
        [sys.executable, "-S", "-m", "scripts.smoke", *arguments],
        cwd=ROOT,
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """Its exit status, the steps that it printed and what it said went wrong."""
    out, err = process.communicate(timeout=60)
    assert KEY not in out + err
    assert err.count("\n") <= 1
    return process.returncode, [line.split()[0] for line in out.splitlines() if line.startswith("  ")], err


def run(*arguments: str, **variables: str) -> tuple[int, list[str], str]:
    return end(start(*arguments, **variables))


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """The URL of a server that sends what answer makes of the bytes of a request."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = b"".join(iter(self.rfile.readline, b"\r\n"))
            length = int(request.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            self.wfile.write(answer(request + b"\r\n" + self.rfile.read(length)))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as tcp:
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{tcp.server_address[1]}"
        finally:
            tcp.shutdown()
            thread.join()


def http(status: str, body: str = "", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body.encode())}", "", body]).encode()


def sent_on(url: str, request: bytes) -> bytes:
    """What the server at url answers."""
    host, _, port = url.removeprefix("http://").partition(":")
    head, _, body = request.partition(b"\r\n\r\n")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.fixture
def left(database: Database) -> Callable[[], list[Any]]:
    """Tells which contexts of the command there are that were not deleted."""
    return lambda: database.execute("SELECT id FROM contexts WHERE name = 'smoke' AND deleted_at IS NULL").fetchall()


@pytest.fixture(scope="module")
def guarded(database_url: str) -> Iterator[str]:
    """The URL of a `make dev` with a key."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.dev"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "PORT": str(port), "API_KEYS": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert any(" is serving on " in line for line in process.stdout)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


class TestADeploymentThatWorks:
    def test_takes_every_step_and_leaves_nothing(self, url: str, left: Callable[[], list[Any]]) -> None:
        process = start(url + "/")
        out, err = process.communicate()

        assert (process.returncode, err) == (0, "")
        assert [line.split()[:2] for line in out.splitlines()[:-1]] == [
            [step, STATUSES.get(step, "200")] for step in STEPS
        ]
        assert out.endswith(f"\n{url} works\n")
        assert left() == []

    def test_is_given_the_key_as_an_option_or_by_the_environment(self, guarded: str) -> None:
        assert run(guarded, "--key", KEY) == (0, STEPS, "")
        assert run(guarded, API_KEY=f"{KEY}\n") == (0, STEPS, "")
        assert run(guarded, "--key", KEY, API_KEY="another") == (0, STEPS, "")

    def test_is_reached_through_vercels_protection(self, url: str) -> None:
        def protection(request: bytes) -> bytes:
            if b"\r\nx-vercel-protection-bypass: open-sesame\r\n" in request:
                return sent_on(url, request)
            return http("401 Unauthorized", "<html>Log in</html>", "Server: Vercel", "Content-Type: text/html")

        with server(protection) as protected:
            assert run(protected, VERCEL_AUTOMATION_BYPASS_SECRET="open-sesame") == (0, STEPS, "")
            status, steps, err = run(protected)

        assert (status, steps) == (1, [])
        assert err == (
            "smoke: health: expected 200, got 401 (requestId missing) text/html, which is not from this API; for"
            " Vercel's deployment protection set VERCEL_AUTOMATION_BYPASS_SECRET\n"
        )


class TestADeploymentThatDoesNot:
    """One line that names the step, what was expected and what came, and exit status 1."""

    @pytest.mark.parametrize("keys", [[], ["--key", "another"]])
    def test_takes_another_key(self, guarded: str, keys: list[str]) -> None:
        status, steps, err = run(guarded, *keys)

        assert (status, steps) == (1, ["health"])
        assert err.startswith("smoke: create: expected 201, got 401 (requestId ")
        assert ") unauthorized: " in err

    def test_is_not_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]

        status, steps, err = run(f"http://127.0.0.1:{port}")

        assert (status, steps) == (1, [])
        assert err.startswith("smoke: health: expected 200, got no answer: ")
        assert err.endswith(" Connection refused\n")

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (http("200 OK", "<html>Hello</html>", "Content-Type: text/html"), "text/html, which is not from this API"),
            (http("200 OK"), "200 (requestId missing) no content-type, which is not from this API"),
            (http("200 OK", "[" * 100_000), "which is not from this API"),
            (http("200 OK", "[]"), "expected healthy, got []"),
            (http("200 OK", '{"status": "degraded"}'), 'expected healthy, got {"status": "degraded"}'),
            (
                http("503 No", '{"status": "unhealthy"}', "X-Request-Id: r1"),
                '503 (requestId r1) {"status": "unhealthy"}',
            ),
            (http("404 No", '{"code": "not_found", "detail": "no\\nsuch"}'), "(requestId missing) not_found: no such"),
            (http("200 OK", "x" * 100_000, "Content-Type: " + "y" * 60_000), "yyy"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer: SSH-2.0-OpenSSH_9.2"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "no answer: IncompleteRead"),
            (b"", "no answer: Remote end closed connection without response"),
        ],
    )
    def test_answers_with_something_else(self, answer: bytes, reason: str) -> None:
        with server(lambda _: answer) as url:
            status, steps, err = run(url)

        assert (status, steps) == (1, ["health"] if "expected healthy" in reason else [])
        assert err.startswith("smoke: health: expected ")
        assert reason in err
        assert len(err) < 500

    def test_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(smoke, "TIMEOUT_SECONDS", 0.1)
        done = threading.Event()

        def wait(_: bytes) -> bytes:
            done.wait()
            return b""

        with server(wait) as url:
            try:
                with pytest.raises(smoke.SmokeError, match=r"^health: expected 200, got no answer: timed out$"):
                    smoke.run(smoke.target(url))
            finally:
                done.set()

    def test_leads_elsewhere_and_never_sees_the_key_there(self) -> None:
        seen: list[bytes] = []

        def see(request: bytes) -> bytes:
            seen.append(request)
            return b""

        with (
            server(see) as other,
            server(lambda _: http("307 Temporary Redirect", "", f"Location: {other}/")) as url,
        ):
            status, _, err = run(url, "--key", KEY)

        assert (status, seen) == (1, [])
        assert "expected 200, got 307" in err

    def test_sends_the_key_back(self) -> None:
        def echo(request: bytes) -> bytes:
            key = request.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
            return http("400 No", json.dumps({"code": key, "detail": "x" * 370 + key}), f"X-Request-Id: {key}")

        with server(echo) as url:
            _, _, err = run(url, "--key", KEY)

        assert err.startswith("smoke: health: expected 200, got 400 (requestId …) …: xxx")
        assert "s3cr" not in err


class TestAStepThatFailsHalfWay:
    """The context is deleted all the same, and its fork."""

    @pytest.mark.parametrize(
        ("step", "answer", "reason"),
        [
            ("append", http("503 No", '{"code": "pool_exhausted", "detail": "busy"}'), "expected 201, got 503 "),
            ("append", http("200 OK", "<html></html>"), "expected 201, got 200 (requestId missing) no content-type"),
            ("append", b"", "expected 201, got no answer: "),
            ("window", b"\0\0\0\r\n", "expected 200, got no answer: "),
            ("window", http("200 OK", '{"data": []}'), "expected the two messages that were appended, got something"),
            (
                "window",
                http("200 OK", '{"data": [{"version": 1}, {"version": 2}], "usedTokens": 9}'),
                "expected the two messages that were appended, got something",
            ),
            ("format", http("200 OK", '{"data": {}}'), "expected the two messages as Anthropic takes them, got"),
        ],
    )
    def test_leaves_nothing(
        self, url: str, left: Callable[[], list[Any]], step: str, answer: bytes, reason: str
    ) -> None:
        fails = {"append": b"POST /api/v1/contexts/", "window": b"GET /api/v1/contexts/", "format": b"format="}[step]

        with server(lambda request: answer if fails in request else sent_on(url, request)) as half:
            status, steps, err = run(half)

        assert status == 1
        assert steps[-1] == "delete"
        assert err.startswith(f"smoke: {step}: {reason}")
        assert left() == []

    @pytest.mark.parametrize(
        ("asked", "answer", "reason", "taken"),
        [
            (b"/forks ", http("404 No", "{}"), "fork: expected 201, got 404 ", ["delete"]),
            (b"/forks ", http("201 Created", "{}"), "fork: expected a context with an id, ", ["fork", "delete"]),
            (b"/window?", b"", "window: expected 200, got no answer: ", ["fork", "delete", "delete"]),
            (
                b"/window?",
                http("200 OK", '{"data": []}'),
                "window: expected the summary and the second message of the fork, ",
                ["fork", "window", "delete", "delete"],
            ),
            (
                b"/compactions/1 ",
                http("503 No", "{}"),
                "undo: expected 200, got 503 ",
                ["fork", "window", "delete", "delete"],
            ),
        ],
    )
    def test_leaves_no_fork(
        self, *, url: str, left: Callable[[], list[Any]], asked: bytes, answer: bytes, reason: str, taken: list[str]
    ) -> None:
        forking = threading.Event()

        def half(request: bytes) -> bytes:
            line = request.partition(b"\r\n")[0]
            if b"/forks " in line:
                forking.set()
            return answer if forking.is_set() and asked in line else sent_on(url, request)

        with server(half) as broken:
            status, steps, err = run(broken)

        assert (status, steps) == (1, [*STEPS[: STEPS.index("fork")], *taken])
        assert err.startswith(f"smoke: {reason}")
        assert left() == []

    def test_says_so_where_neither_can_be_deleted(self, url: str, database: Database) -> None:
        with server(lambda request: b"" if request.startswith(b"DELETE") else sent_on(url, request)) as broken:
            status, steps, err = run(broken)

        [(fork, parent)] = database.execute(
            "SELECT id, parent_id FROM contexts WHERE name = 'smoke' AND deleted_at IS NULL AND parent_id IS NOT NULL"
        ).fetchall()
        database.execute("UPDATE contexts SET deleted_at = now() WHERE name = 'smoke' AND deleted_at IS NULL")
        assert (status, steps) == (1, STEPS[: STEPS.index("undo")])
        assert err.startswith("smoke: undo: expected 200, got no answer: ")
        assert f"; so /api/v1/contexts/{fork} is left behind; delete: expected 200, got no answer: " in err
        assert err.endswith(f"; so /api/v1/contexts/{parent} is left behind\n")

    def test_says_so_where_that_fails_as_well(self, url: str, database: Database) -> None:
        def half(request: bytes) -> bytes:
            return b"" if b"/api/v1/contexts/" in request.partition(b"\r\n")[0] else sent_on(url, request)

        with server(half) as broken:
            status, steps, err = run(broken)

        [(context_id,)] = database.execute(
            "UPDATE contexts SET deleted_at = now() WHERE name = 'smoke' AND deleted_at IS NULL RETURNING id"
        ).fetchall()
        assert (status, steps) == (1, ["health", "create"])
        assert err.startswith("smoke: append: expected 201, got no answer: ")
        assert "; delete: expected 200, got no answer: " in err
        assert err.endswith(f"; so /api/v1/contexts/{context_id} is left behind\n")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_is_a_signal(self, url: str, left: Callable[[], list[Any]], number: signal.Signals) -> None:
        asked, done = threading.Event(), threading.Event()

        def slow(request: bytes) -> bytes:
            if request.startswith(b"POST /api/v1/contexts/"):
                asked.set()
                done.wait()
                return b""
            return sent_on(url, request)

        with server(slow) as half:
            process = start(half)
            try:
                assert asked.wait(30)
                process.send_signal(number)
                answer = end(process)
            finally:
                done.set()

        assert answer == (130, ["health", "create", "delete"], "smoke: interrupted\n")
        assert left() == []

    @pytest.mark.parametrize("body", ["{}", "[]", '{"data": {"id": "../x"}}', '{"data": {"id": 1}}'])
    def test_is_a_creation_that_names_no_context(self, url: str, body: str) -> None:
        def half(request: bytes) -> bytes:
            return http("201 Created", body) if request.startswith(b"POST") else sent_on(url, request)

        with server(half) as broken:
            status, _, err = run(broken)

        assert (status, err) == (1, "smoke: create: expected a context with an id, got something else\n")


class TestArguments:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            f"https://user:{KEY}@example.com",
            "https://example.com/api",
            "https://example.com?a=1",
            "https://example.com:port",
            "https://[::1",
            "http://127.0.0.1:99999",
        ],
    )
    def test_need_a_url_of_a_host(self, url: str) -> None:
        assert run(url) == (1, [], "smoke: cannot use this URL: it must be https://HOST or http://HOST:PORT\n")

    @pytest.mark.parametrize("key", ["clé", "a\nb"])
    def test_need_a_key_that_a_header_can_carry(self, key: str) -> None:
        assert run("http://127.0.0.1", "--key", key) == (
            1,
            [],
            "smoke: cannot use this key: it must be printable ASCII\n",
        )

    def test_may_name_a_host_that_cannot_be(self) -> None:
        status, _, err = run(f"http://{'é' * 70}")

        assert status == 1
        assert err.startswith("smoke: health: expected 200, got no answer: ")
