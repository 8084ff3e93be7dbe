"""The bench's load generator, in a process of its own: keep-alive connections that each send when they are answered.

Reads a round per line of standard input (a JSON object of Round's members) and writes a line for each: the seconds it
took and the latencies in microseconds. Plain sockets and no HTTP library, so that the server is what is measured.
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

RECEIVE_BYTES = 1 << 20
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Round:
    """What to send: to a port of this machine, for so many seconds; connection n sends requests[n], modulo."""

    port: int
    requests: Sequence[str]
    connections: int
    seconds: float


class Connection:
    """One keep-alive connection with one request on its way."""

    def __init__(self, port: int, request: bytes) -> None:
        self.request = request
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.missing = 0
        self.sent_at = 0.0

    def send(self) -> None:
        """Sends the request."""
        self.missing = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """Takes what has come; true where that completes the answer. Raises RuntimeError for any answer but a 2xx."""
        data = self.socket.recv(RECEIVE_BYTES)
        if self.missing:
            self.missing -= len(data)
        else:
            head = data.find(b"\r\n\r\n")
            length = CONTENT_LENGTH.search(data, 0, head + 2)
            # A server writes its head at once; in pieces it would have to be put together here.
            if head < 0 or length is None or data[9:10] != b"2":
                raise RuntimeError(f"unexpected answer to {self.request[:80]!r}: {data[:400]!r}")
            self.missing = head + 4 + int(length[1]) - len(data)
        if not data:
            raise RuntimeError("the server closed a connection")
        return self.missing == 0


def run(load: Round) -> tuple[float, list[int]]:
    """The seconds that the round took and the latency of each answer in microseconds."""
    requests = [request.encode() for request in load.requests]
    connections = [Connection(load.port, requests[n % len(requests)]) for n in range(load.connections)]
    latencies: list[int] = []
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        deadline = started + load.seconds
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        busy = load.connections
        while busy:
            for key, _ in selector.select():
                connection = key.data
                if connection.receive():
                    now = time.perf_counter()
                    latencies.append(round((now - connection.sent_at) * 1e6))
                    if now < deadline:
                        connection.send()
                    else:
                        busy -= 1
        seconds = time.perf_counter() - started
    for connection in connections:
        connection.socket.close()
    return seconds, latencies


def main() -> None:
    """Runs rounds until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(run(Round(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
