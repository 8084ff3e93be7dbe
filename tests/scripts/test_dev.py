"""make dev: python -m scripts.dev, in a process of its own on a copy of the project, with its own .postgres folder."""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from scripts.dev import readable

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("api", "lib", "migrations", "public", "scripts", "vercel.json")
SECRET = "s3cret-Pa55"


class Server:
    """One run of the command, the leader of a process group as at a terminal."""

    def __init__(self, folder: Path, stdout: int = subprocess.PIPE, **variables: str) -> None:
        ours = {"DATABASE_URL", "DATABASE_URL_UNPOOLED", "PORT"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.dev"],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in ours} | variables,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,  # so that reading a line takes nothing from what communicate() reads
            process_group=0,
        )
        self.printed = ""

    def url(self) -> str:
        """Where it serves; waits until it says so."""
        assert self.process.stdout
        while " is serving on " not in self.printed:
            line = self.process.stdout.readline().decode()
            assert line, self.end()
            self.printed += line
        return self.printed.partition(" is serving on ")[2].partition(" ")[0]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url() + path)

    def end(self) -> tuple[int, str, str]:
        """Its exit status and what it printed to stdout and stderr, once it has ended."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, self.printed + out.decode(), err.decode()

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A copy of the project. Not below pytest's folder, which pytest closes to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="kata-") as name:
        folder = Path(name)
        for needed in NEEDED:
            source = ROOT / needed
            if source.is_dir():
                shutil.copytree(source, folder / needed, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder)
        yield folder


type Start = Callable[..., Server]


@pytest.fixture
def start(checkout: Path) -> Iterator[Start]:
    """Starts the command on the copy, on a free port unless it or .env gives another, and ends it after the test."""
    servers: list[Server] = []

    def start(stdout: int = subprocess.PIPE, **variables: str) -> Server:
        if not (checkout / ".env").exists():
            variables.setdefault("PORT", free_port())
        servers.append(Server(checkout, stdout, **variables))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.terminate()
            server.end()


@pytest.fixture
def dotenv(checkout: Path) -> Iterator[Path]:
    """The copy's .env file."""
    path = checkout / ".env"
    yield path
    path.unlink()


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def database_runs(checkout: Path) -> bool:
    return (checkout / ".postgres/postmaster.pid").exists() or (checkout / ".postgres/.s.PGSQL.5432").exists()


class TestServing:
    def test_starts_a_database_migrates_it_and_serves_on_the_port(self, checkout: Path, start: Start) -> None:
        port = free_port()
        server = start(PORT=port)

        answer = server.get("/api/health")

        assert server.url() == f"http://127.0.0.1:{port}"
        assert answer.status_code == 200
        assert answer.json()["status"] == "healthy"
        assert "Applied migration 0001_contexts\n" in server.printed
        assert database_runs(checkout)

    def test_says_what_to_try(self, start: Start) -> None:
        server = start()
        server.get("/api/health")

        _, out, _ = server.interrupt()

        commands = [shlex.split(line) for line in out.splitlines() if line.startswith("  curl ")]
        assert [command[2].removeprefix(server.url()) for command in commands] == ["/api/health", "/api/v1/contexts"]

    def test_answers_with_the_static_files_and_headers_of_production(self, start: Start, database_url: str) -> None:
        server = start(DATABASE_URL=database_url)

        answers = [server.get(path) for path in ("/llms.txt", "/api/v1/%63ontexts", "/nothing")]

        assert [answer.status_code for answer in answers] == [200, 200, 404]
        assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)


class TestLog:
    def test_is_json_where_the_output_is_no_terminal(self, start: Start, database_url: str) -> None:
        server = start(DATABASE_URL=database_url)
        server.get("/api/health?probe=liveness")

        _, out, _ = server.interrupt()

        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        requests = [(line["method"], line["route"], line["status"]) for line in lines if "method" in line]
        assert requests == [("GET", "/api/health", 200)]

    def test_is_a_readable_line_for_each_request_on_a_terminal(self, start: Start, database_url: str) -> None:
        controller, terminal = pty.openpty()
        server = start(terminal, DATABASE_URL=database_url)
        os.close(terminal)
        with os.fdopen(controller, "rb", buffering=0) as screen:
            server.process.stdout = screen
            httpx.post(f"{server.url()}/api/health")
            while " POST " not in (line := screen.readline().decode()):
                assert not line.startswith("{")
            os.killpg(server.process.pid, signal.SIGINT)
            server.process.wait()
            assert server.process.stderr
            server.process.stderr.close()

        expected = r"\d\d:\d\d:\d\d POST /api/health 405 \d+\.\d ms \(db 0\.0\) method_not_allowed\r\n"
        assert re.fullmatch(expected, line), line

    @pytest.mark.parametrize(
        ("members", "expected"),
        [
            ({"route": "/x", "code": None}, "GET /x 200 1.2 ms (db 0.0)"),
            ({"route": "/x", "failure": "KeyError at a.py:1"}, "GET /x 200 1.2 ms (db 0.0) KeyError at a.py:1"),
            ({"route": "/\x1b[2J\u202e"}, r"GET /\u001b[2J\u202e 200 1.2 ms (db 0.0)"),
            ({"level": "warning", "message": "no keys"}, "warning: no keys"),
        ],
    )
    def test_says_all_that_matters_and_does_not_steer_the_terminal(
        self, members: dict[str, object], expected: str
    ) -> None:
        line = {"time": "2026-11-21T09:05:38.123+00:00", "method": "GET", "status": 200, "ms": 1.23, "dbMs": 0.0}

        time, _, rest = readable(json.dumps(line | members)).partition(" ")

        assert re.fullmatch(r"\d\d:\d\d:38", time)
        assert rest == expected

    @pytest.mark.parametrize("line", ["", "Stopped.", "{", "[]", "5", "null", '{"time": 5}', '{"time": "x"}', "{}"])
    def test_leaves_other_lines_as_they_are(self, line: str) -> None:
        assert readable(line) == line


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_all_of_it(self, checkout: Path, start: Start, number: signal.Signals) -> None:
        server = start()
        server.get("/api/health")
        server.process.send_signal(number)

        status, out, err = server.end()

        assert (status, err) == (0, "")
        assert out.endswith("Stopped.\n")
        assert not database_runs(checkout)

    def test_ctrl_c_ends_all_of_it_while_clients_are_connected(self, checkout: Path, start: Start) -> None:
        server = start()
        with httpx.Client(base_url=server.url()) as client:
            client.get("/api/v1/contexts")

            status, out, err = server.interrupt()

        assert (status, err) == (0, "")
        assert out.endswith("Stopped.\n")
        assert not database_runs(checkout)

    def test_ctrl_c_ends_an_import_half_way(self) -> None:
        run = "import signal; signal.raise_signal(signal.SIGINT)"  # as a module does that defines a dataclass
        program = f"""
from scripts.dev import stop_on_signals
stop_on_signals()
try:
    exec({run!r})
except KeyboardInterrupt:
    print("caught")
"""
        ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "caught\n", "")

    def test_ctrl_c_ends_a_start_half_way(self, checkout: Path, start: Start) -> None:
        shutil.rmtree(checkout / ".postgres", ignore_errors=True)
        for pause in (0.0, 0.2, 0.4, 0.8):
            server = start()
            assert server.process.stdout
            server.printed = server.process.stdout.readline().decode()
            assert server.printed == "Starting the embedded PostgreSQL …\n"
            time.sleep(pause)

            status, _, err = server.interrupt()

            assert (status, err) == (0, "")
            assert not database_runs(checkout)
            assert not (checkout / ".postgres.new").exists()
        assert start().get("/api/health").json()["status"] == "healthy"

    def test_ctrl_c_ends_a_server_that_has_not_yet_said_where_it_listens(self, checkout: Path, start: Start) -> None:
        for _ in range(3):
            server = start()
            while not (checkout / ".postgres/postmaster.pid").exists():
                time.sleep(0.0005)

            status, _, err = server.interrupt()

            assert (status, err) == (0, "")
            assert not database_runs(checkout)


class TestData:
    def test_is_kept_between_runs(self, start: Start) -> None:
        server = start()
        kept = httpx.post(f"{server.url()}/api/v1/contexts", json={"name": "kept"}).json()["data"]
        server.interrupt()

        server = start()

        assert server.get(f"/api/v1/contexts/{kept['id']}").json()["data"] == kept
        assert "Applied migration" not in server.printed

    def test_outlives_a_run_that_was_killed_and_whose_database_was_left(self, checkout: Path, start: Start) -> None:
        server = start()
        server.get("/api/health")
        server.process.kill()
        server.end()
        assert database_runs(checkout)

        server = start()
        assert server.get("/api/health").json()["status"] == "healthy"

        server.interrupt()
        assert not database_runs(checkout)

    def test_is_not_lost_to_a_process_number_that_another_program_has_by_now(
        self, checkout: Path, start: Start
    ) -> None:
        """What a power cut or a removed container leaves."""
        server = start()
        server.get("/api/health")
        left = (checkout / ".postgres/postmaster.pid").read_text()
        server.interrupt()
        number, _, rest = left.partition("\n")
        (checkout / ".postgres/postmaster.pid").write_text(f"{os.getpid()}\n{rest}")

        assert number.isdigit()
        assert start().get("/api/health").json()["status"] == "healthy"

    def test_is_shared_by_two_runs_and_the_last_one_stops_the_database(self, checkout: Path, start: Start) -> None:
        first, second = start(), start()
        shared = httpx.post(f"{first.url()}/api/v1/contexts").json()["data"]
        assert second.get(f"/api/v1/contexts/{shared['id']}").json()["data"] == shared

        first.interrupt()

        assert second.get(f"/api/v1/contexts/{shared['id']}").json()["data"] == shared
        second.interrupt()
        assert not database_runs(checkout)


class TestAStartThatCannotBe:
    """One clear line, exit status 1, and nothing left running."""

    @pytest.fixture(autouse=True)
    def _nothing_left(self, checkout: Path) -> Iterator[None]:
        yield
        assert not database_runs(checkout)

    @pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "3000.0", "٣", "9" * 5000])
    def test_has_a_wrong_port(self, start: Start, port: str) -> None:
        assert start(PORT=port).end() == (1, "", f"dev: cannot use PORT={port}: it must be a number from 1 to 65535\n")

    def test_has_a_port_that_is_in_use(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]

            answer = start(PORT=str(port)).end()

        line = f"dev: could not listen: port {port} is in use; stop what uses it or set PORT to another\n"
        assert answer == (1, "", line)

    @pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_UNPOOLED"])
    def test_has_a_database_that_does_not_answer(self, start: Start, variable: str) -> None:
        urls = {"DATABASE_URL": "postgresql:///x", variable: f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/db"}

        status, out, err = start(**urls).end()

        assert (status, out) == (1, "")
        assert err.startswith("dev: could not connect to the database: ")
        assert err.count("\n") == 1
        assert SECRET not in err

    def test_has_a_folder_for_the_database_that_is_something_else(self, checkout: Path, start: Start) -> None:
        shutil.rmtree(checkout / ".postgres", ignore_errors=True)
        (checkout / ".postgres").write_text("not a folder")

        status, _, err = start().end()

        (checkout / ".postgres").unlink()
        assert status == 1
        assert err.startswith("dev: could not start the embedded PostgreSQL: ")
        assert err.count("\n") == 1

    def test_has_a_setting_in_vercel_json_that_it_does_not_apply(
        self, checkout: Path, start: Start, database_url: str
    ) -> None:
        path = checkout / "vercel.json"
        before = path.read_text()
        path.write_text(before.replace('"rewrites"', '"routes": [], "rewrites"'))

        status, _, err = start(DATABASE_URL=database_url).end()

        path.write_text(before)
        assert (status, err) == (1, "dev: vercel.json has what is not applied here: routes\n")


class TestConfiguration:
    def test_database_url_takes_the_place_of_the_embedded_database(
        self, checkout: Path, start: Start, database_url: str
    ) -> None:
        server = start(DATABASE_URL=database_url)

        assert server.get("/api/health").json()["status"] == "healthy"
        assert "(the database of DATABASE_URL)" in server.printed
        assert not database_runs(checkout)

    def test_an_embedded_database_is_what_gets_migrated(self, start: Start) -> None:
        """DATABASE_URL_UNPOOLED alone names no database to serve, and must not be touched."""
        elsewhere = f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/db"

        assert start(DATABASE_URL_UNPOOLED=elsewhere).get("/api/health").json()["status"] == "healthy"

    def test_is_read_from_the_env_file(self, start: Start, dotenv: Path, database_url: str) -> None:
        port = free_port()
        dotenv.write_text(f"PORT={port}\nDATABASE_URL={database_url}\n")

        server = start()

        assert server.url() == f"http://127.0.0.1:{port}"
        assert "(the database of DATABASE_URL)" in server.printed

    def test_of_the_environment_wins_over_the_env_file(self, start: Start, dotenv: Path, database_url: str) -> None:
        dotenv.write_text("PORT=none\nDATABASE_URL=postgresql://127.0.0.1:1/none\n")

        assert start(PORT=free_port(), DATABASE_URL=database_url).get("/api/health").json()["status"] == "healthy"
