"""A real PgBouncer in transaction mode before a PostgreSQL, on a TCP port of this machine: what production looks like.

    with pgbouncer(database_url) as pooler:
        psycopg.connect(pooler.url)

For tests and `make chaos`. Must never pass a setting that Neon's pooler does not: what fails there should fail here.
"""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

# Server connections per database and user: fewer than the clients of any test, so that they have to share.
POOL_SIZE = 2

# Below what Linux and macOS give to outgoing connections, so that the port is still free after a restart.
PORTS = range(16_000, 32_000)

# Seconds until PgBouncer must have begun to listen, or ended.
TIMEOUT = 10.0

# Where Debian and Homebrew put it, beyond PATH.
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")


class PgBouncerError(Exception):
    """PgBouncer could not start; the text says why."""


class PgBouncer:
    """One PgBouncer, which keeps its port and so its URL through restarts."""

    def __init__(self, url: str, folder: Path, settings: dict[str, str | int]) -> None:
        """Starts it. url is PostgreSQL's; folder takes the configuration and the log. Raises PgBouncerError."""
        self._folder = folder
        self._program = program()
        self._user = _user(url)
        self.port = free_port()
        parts = conninfo_to_dict(url)
        user, database = str(parts.get("user") or "postgres"), str(parts.get("dbname") or "postgres")
        self.url = f"postgresql://{quote(user)}@127.0.0.1:{self.port}/{quote(database)}"
        server = {name: parts[name] for name in ("host", "port", "password") if parts.get(name)} | {"user": user}
        (folder / "users.txt").write_text(f"{_quoted(user, '"')} {_quoted('', '"')}\n")
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = {' '.join(f'{name}={_quoted(value)}' for name, value in server.items())}\n"
            "[pgbouncer]\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\n"
            "unix_socket_dir =\n"
            "auth_type = trust\n"
            f"auth_file = {folder / 'users.txt'}\n"
            "pool_mode = transaction\n"
            "max_client_conn = 1000\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        if self._user:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, self._user)
        self.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it listens; once it has ended, again. Raises PgBouncerError."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-q", self._folder / "pgbouncer.ini"],
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise PgBouncerError(f"could not start PgBouncer: {self.log()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it; its clients' connections are closed."""
        self._process.terminate()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Ends it and starts it on the same port."""
        self.stop()
        self.start()

    def log(self) -> str:
        """What it has written so far."""
        return (self._folder / "log").read_text(errors="replace").strip()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return self._process.poll() is None
        return False


@contextmanager
def pgbouncer(url: str, *, pool_size: int = POOL_SIZE, **settings: str | int) -> Iterator[PgBouncer]:
    """A PgBouncer before the PostgreSQL at url, with pool_size server connections, and gone afterwards.

    settings are further ones of PgBouncer's own. Raises PgBouncerError.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-")))
        pooler = PgBouncer(url, folder, {"default_pool_size": pool_size, **settings})
        stack.callback(pooler.stop)
        yield pooler


def program() -> str:
    """The path of the program. Raises PgBouncerError where there is none."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *FOLDERS]))
    if found is None:
        raise PgBouncerError("PgBouncer is needed and was not found: install it (apt-get or brew install pgbouncer)")
    return found


def free_port() -> int:
    """A TCP port of this machine that nothing listens on now, and that no outgoing connection will be given."""
    for port in random.sample(PORTS, len(PORTS)):
        with suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
    raise PgBouncerError("could not find a free port")


def _user(url: str) -> str | None:
    """Whom to run as: PgBouncer refuses root. The owner of PostgreSQL's socket, who alone can be sure to reach it."""
    if os.geteuid() != 0:
        return None
    host = str(conninfo_to_dict(url).get("host") or "")
    return Path(host).owner() if host.startswith("/") and Path(host).owner() != "root" else "nobody"


def _quoted(value: object, mark: str = "'") -> str:
    return mark + str(value).replace(mark, mark * 2) + mark
