"""A function's processes, on Vercel's own Python runtime.

Must never end a process that it did not start, nor leave one behind.
"""

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from scripts.stack.vercel.built import Built

# Seconds until a function must have said where it listens.
START_TIMEOUT = 30.0

# Seconds that a function gets between SIGTERM and SIGKILL.
STOP_TIMEOUT = 5.0


class StartError(Exception):
    """A function could not be started; the text says why."""


@cache
def interpreter() -> Path:
    """A real Python 3.12, outside of any virtual environment and not a launcher. Raises StartError."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [sys.executable, shutil.which("python3.12"), *map(str, pyenv.glob("versions/3.12.*/bin/python3.12"))]
    for candidate in filter(None, candidates):
        run = subprocess.run(
            [candidate, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=False
        )
        real = Path(run.stdout.strip(), "bin", "python3.12")
        if run.returncode == 0 and real.is_file():
            return real
    raise StartError("Python 3.12 is needed, the version that Vercel runs, and none was found")


class Function:
    """A function laid out in its task folder, from which any number of processes can be started."""

    def __init__(self, built: Built, folder: Path, environment: Mapping[str, str]) -> None:
        """environment is added to what the platform sets; folder is made, and its path kept under 80 characters."""
        self.built = built
        self.name = built.name
        self.folder = folder
        self.task = folder / "task"
        self._numbers = itertools.count(1)
        self._python = interpreter()
        self._environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "VERCEL": "1",
            "VERCEL_ENV": "production",
            **built.environment,
            **environment,
        }
        made: set[Path] = set()
        for name, source in built.files.items():
            path = self.task / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            try:
                path.hardlink_to(source)
            except OSError:  # another file system
                shutil.copy2(source, path)

    def start(self) -> "Instance":
        """A new process that listens. Raises StartError."""
        path = self.folder / f"{next(self._numbers)}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(1)
            started = time.perf_counter()
            # -S leaves this machine's site-packages out, which the platform does not have.
            process = subprocess.Popen(
                [self._python, "-S", "-c", "import vc__handler__python"],
                cwd=self.task,
                env={**self._environment, "VERCEL_IPC_PATH": str(path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            try:
                return Instance(process, listener, started)
            except BaseException:
                process.kill()
                process.wait()
                raise
            finally:
                path.unlink()


class Instance:
    """One process of a function."""

    def __init__(self, process: "subprocess.Popen[bytes]", listener: socket.socket, started: float) -> None:
        """Waits until process, started at perf_counter's started, says where it listens. Raises StartError."""
        self.process = process
        self.pid = process.pid
        self.started = started
        self.frozen = False
        self._stopping = False
        self._log: deque[bytes] = deque(maxlen=1000)
        self._channel = self._accept(listener)
        messages = self._messages()
        try:
            self.port = self._port(messages)
        except BaseException:
            self._channel.close()
            raise
        self._channel.settimeout(None)
        # The runtime writes without a limit and blocks when nobody reads.
        self._reader = threading.Thread(target=self._read, args=[messages], daemon=True)
        self._reader.start()

    def _accept(self, listener: socket.socket) -> socket.socket:
        listener.settimeout(0.1)
        while time.perf_counter() - self.started < START_TIMEOUT:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
            if self.process.poll() is not None:
                raise StartError(f"the function ended with exit status {self.process.returncode}")
        raise StartError(f"the function was silent for {START_TIMEOUT:.0f} s")

    def _messages(self) -> Iterator[bytes]:
        """Each message of the runtime, until it closes the channel."""
        rest = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self._channel.recv(1 << 16):
                *complete, rest = (rest + data).split(b"\0")
                yield from complete

    def _port(self, messages: Iterator[bytes]) -> int:
        self._channel.settimeout(START_TIMEOUT)
        try:
            for text in messages:
                message = json.loads(text)
                if message["type"] == "server-started":
                    return int(message["payload"]["httpPort"])
                if message["type"] == "unrecoverable-error":
                    raise StartError(message["payload"]["message"])
        except TimeoutError:
            raise StartError(f"the function was silent for {START_TIMEOUT:.0f} s") from None
        raise StartError("the function ended without saying why")

    def _read(self, messages: Iterator[bytes]) -> None:
        with self._channel:
            for text in messages:
                if b'"type": "log"' in text:
                    self._log.append(text)

    def log(self) -> list[str]:
        """The last lines that the function has logged."""
        payloads = [json.loads(text)["payload"] for text in list(self._log)]
        return "".join(base64.b64decode(payload["message"]).decode() for payload in payloads).splitlines()

    @property
    def running(self) -> bool:
        """Whether the process runs and takes requests."""
        return not self._stopping and self.process.poll() is None

    def freeze(self) -> None:
        """Stops the process between two requests, as the platform does; the next request thaws it."""
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets the process go on."""
        self.frozen = False
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Tells the process to end; it answers what it has begun and gets no more requests."""
        self._stopping = True
        self.thaw()
        self.process.terminate()

    def stop(self) -> int:
        """Ends the process with SIGTERM, or else with SIGKILL. Returns its exit status."""
        self.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._end()

    def kill(self) -> int:
        """Ends the process with SIGKILL. Returns its exit status."""
        self._stopping = True
        self.process.kill()
        return self._end()

    def _end(self) -> int:
        self.process.wait()
        self._reader.join()
        return self.process.returncode
