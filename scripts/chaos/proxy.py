"""A TCP proxy between the functions and PgBouncer that cuts, stalls and silences connections: for `make chaos`."""

import asyncio
import contextlib
import ctypes
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable
from typing import Self

CHUNK = 1 << 16

# What an append, a creation and a fork send to the database, in the texts of their statements.
STORES = (b"INSERT INTO messages", b"INSERT INTO contexts")

# A socket filter of one instruction, "return 0": the kernel drops whatever comes in before it would acknowledge it,
# as if it were lost on the way. A proxy that only stopped reading would still acknowledge.
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER = struct.pack("HP", 1, ctypes.addressof(_DROP_ALL))
_SO_ATTACH_FILTER = 26

# SO_LINGER that makes close() send RST and no FIN.
_RESET = struct.pack("ii", 1, 0)


def _packets_can_vanish() -> bool:
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER)
        except OSError:
            return False
    return True


# Whether the system has socket filters: Linux does.
PACKETS_CAN_VANISH = _packets_can_vanish()


class Link:
    """One connection through the proxy: from a function (client) to PgBouncer (server)."""

    def __init__(self, client: StreamWriter, server: StreamWriter) -> None:
        self.port: int = client.get_extra_info("peername")[1]
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.storing = False
        self.silent = False
        self._client = client
        self._server = server

    def reset(self) -> None:
        """Ends it with RST on both sides."""
        for writer in (self._client, self._server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def silence(self) -> None:
        """From now on whatever the function sends is lost on the way, unacknowledged, and nothing comes back."""
        self.silent = True
        self.flowing.clear()
        if PACKETS_CAN_VANISH:
            self._client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER)

    def close(self) -> None:
        """Ends it with FIN on both sides, after what is on its way."""
        for writer in (self._client, self._server):
            writer.close()


class Proxy:
    """Listens on a port of this machine while inside the `async with` and forwards to another."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._losing: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._target = target
        self._links: set[Link] = set()

    @property
    def links(self) -> list[Link]:
        """The connections that work, oldest port first."""
        return sorted((link for link in self._links if not link.silent), key=lambda link: link.port)

    async def __aenter__(self) -> Self:
        """Starts to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops, and cuts what is still open."""
        self._server.close()
        for link in list(self._links):
            link.flowing.set()
            link.reset()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def lose_answer(self, seconds: float) -> bool:
        """Cuts a connection when the database has answered what stores; whether there was one in so many seconds."""
        self._losing = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._losing.wait(), seconds)
        lost = self._losing.is_set()
        self._losing = None
        return lost

    async def stall(self, links: Iterable[Link], seconds: float) -> None:
        """Lets nothing through the links for so many seconds; what was sent meanwhile arrives late."""
        stalled = list(links)
        for link in stalled:
            link.flowing.clear()
        await asyncio.sleep(seconds)
        for link in stalled:
            if not link.silent:
                link.flowing.set()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            upstream, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server)
        self._links.add(link)
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(self._requests(reader, server, link), self._answers(upstream, writer, link))
        self._links.discard(link)

    async def _requests(self, reader: StreamReader, server: StreamWriter, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await link.flowing.wait()
                link.storing = link.storing or any(statement in data for statement in STORES)
                server.write(data)
                await server.drain()
        if not link.silent:
            link.close()

    async def _answers(self, reader: StreamReader, client: StreamWriter, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await link.flowing.wait()
                if link.storing and self._losing and not self._losing.is_set():
                    self._losing.set()
                    link.reset()
                    break
                link.storing = False
                client.write(data)
                await client.drain()
        if not link.silent:
            link.close()
