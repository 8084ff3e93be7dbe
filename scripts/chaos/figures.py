"""The first phase of `make chaos`: the first requests after a freeze, and a burst on a small pool, in milliseconds."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import psutil

from lib.db import IDLE_GAP
from scripts.chaos.log import Check
from scripts.chaos.proxy import PACKETS_CAN_VANISH, Proxy
from scripts.chaos.stack import API_KEY, CONTEXT, CONTEXTS, MESSAGES, WINDOW, Functions, Process
from scripts.stack.pgbouncer import PgBouncer

# Processes that there must be of the dev server, so that each call below has one of its own.
INSTANCES = 4

# Seconds that the short form freezes for: less than the idle gap, so that each connection is looked at.
SHORT_FREEZE = 1.0

# Goals in milliseconds, from the freeze's end to the answer.
CLOSED_GOAL = 50
VANISHED_GOAL = 4000

BURST = 200

# Milliseconds until a single request is answered again after a burst.
BURST_GOAL = 1000

# Requests at once that make a process open all of its connections.
FILL = 12

TIMEOUT = 20.0

MESSAGE = {"role": "user", "content": "Hello " * 20, "tokenCount": 20}

# Messages that each append of a burst stores: the database must be what is waited for.
BURST_BATCH = 200

# Clients that share a burst: one alone looks at all of its connections for each request, 5 seconds in all (measured),
# after which the runtime closes those that it has not heard from.
BURST_CLIENTS = 10


@dataclass(frozen=True, slots=True)
class Call:
    """A request, the function that serves it and whether its packets vanish in the freeze; else the server closes."""

    name: str
    function: str
    method: str
    path: str
    body: bytes | None = None
    vanishes: bool = False


@dataclass(frozen=True, slots=True)
class Frozen:
    """A call's process, and the local ports of that process's connections to the proxy."""

    turn: int
    call: Call
    process: Process
    ports: set[int]


def _append(count: int) -> bytes:
    return json.dumps({"messages": [MESSAGE] * count}).encode()


def _calls(context: str) -> list[Call]:
    return [
        Call("read a context", CONTEXT, "GET", context),
        Call("append a message", MESSAGES, "POST", f"{context}/messages", _append(1)),
        Call("read a window", WINDOW, "GET", f"{context}/window?budget=1000", vanishes=True),
        Call("list contexts", CONTEXTS, "GET", "/api/v1/contexts?limit=5", vanishes=True),
    ]


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    return httpx.AsyncClient(headers=headers, timeout=TIMEOUT, limits=limits)


class Figures:
    """Measures on a quiet machine; each call is served by one process."""

    def __init__(self, functions: Functions, proxy: Proxy, pooler: PgBouncer) -> None:
        self._functions = functions
        self._proxy = proxy
        self._pooler = pooler

    async def measure(self, *, short: bool) -> list[Check]:
        """Prints the figures. Returns the checks of what they must be."""
        async with _client() as client:
            created = await client.post(f"{self._functions.url(0)}/api/v1/contexts", json={})
            calls = _calls(created.headers["location"])
            for turn, call in enumerate(calls):
                await asyncio.gather(*(self._send(client, turn, call) for _ in range(FILL)))
            burst = await self._burst(client, f"{created.headers['location']}/messages")
            if short and not PACKETS_CAN_VANISH:
                print("  left out: packets that vanish need Linux's socket filters, or the long form")
                calls = [call for call in calls if not call.vanishes]
            frozen = await self._freeze(client, calls, short=short)
        return [burst, *frozen]

    async def _send(self, client: httpx.AsyncClient, turn: int, call: Call) -> httpx.Response:
        return await client.request(call.method, self._functions.url(turn) + call.path, content=call.body)

    async def _burst(self, client: httpx.AsyncClient, path: str) -> Check:
        check = Check(f"a burst of {BURST} requests on a pool of 3: all answered 2xx, or 503 with Retry-After")
        page = Call("read a page", MESSAGES, "GET", f"{path}?limit={BURST_BATCH}")
        append = Call("append", MESSAGES, "POST", path, _append(BURST_BATCH))
        # Connections first: to open so many would spread the requests.
        alive = Call("ask for life", MESSAGES, "GET", "/api/health?probe=liveness")
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(_client()) for _ in range(BURST_CLIENTS)] * (
                BURST // BURST_CLIENTS
            )
            await asyncio.gather(*(self._send(each, 1, alive) for each in clients))
            started = time.perf_counter()
            answers = await asyncio.gather(
                *(self._send(each, 1, append if number % 2 else page) for number, each in enumerate(clients)),
                return_exceptions=True,
            )
            ended = time.perf_counter()
        single = await self._send(client, 1, page)
        recovered = (time.perf_counter() - ended) * 1000
        for answer in answers:
            if isinstance(answer, BaseException):
                check.expect(False, repr(answer))
            else:
                right = answer.is_success or (answer.status_code == 503 and "retry-after" in answer.headers)
                check.expect(right, f"{answer.status_code} {answer.text[:200]}")
        check.expect(single.is_success and recovered <= BURST_GOAL, f"then {single.status_code} in {recovered:.0f} ms")
        statuses = Counter(answer.status_code for answer in answers if isinstance(answer, httpx.Response))
        print(f"  burst of {BURST} at once on a pool of 3: {_counts(statuses)} in {(ended - started) * 1000:.0f} ms,")
        print(f"    then a single request: {single.status_code} in {recovered:.0f} ms (goal {BURST_GOAL})", flush=True)
        return check

    async def _freeze(self, client: httpx.AsyncClient, calls: Sequence[Call], *, short: bool) -> list[Check]:
        seconds = SHORT_FREEZE if short else IDLE_GAP + 1
        closed = Check(f"after a freeze, connections closed by the server: right within {CLOSED_GOAL} ms")
        vanished = Check(f"after a freeze, packets vanish: right within {VANISHED_GOAL} ms")
        if short:
            # Shorter than the idle gap: the service has to find out, and may say so.
            vanished.promise = (
                f"packets vanish between two requests: right or 503 within {VANISHED_GOAL} ms, then right"
            )
        frozen = [self._frozen(turn, call) for turn, call in enumerate(calls)]
        try:
            for one in frozen:
                one.process.process.send_signal(signal.SIGSTOP)
                for link in self._proxy.links:
                    if one.call.vanishes and link.port in one.ports:
                        link.silence()
            await asyncio.to_thread(self._pooler.restart)
            print(f"  functions frozen for {seconds:.0f} s, then the first request:", flush=True)
            await asyncio.sleep(seconds)
            for one in frozen:
                if not one.call.vanishes:
                    await self._first_request(client, one, closed, CLOSED_GOAL)
            vanishing = [one for one in frozen if one.call.vanishes]
            requests = (self._first_request(client, one, vanished, VANISHED_GOAL, may_fail=short) for one in vanishing)
            await asyncio.gather(*requests)
        finally:
            for one in frozen:
                one.process.process.send_signal(signal.SIGCONT)
        return [closed, vanished] if vanishing else [closed]

    async def _first_request(
        self, client: httpx.AsyncClient, frozen: Frozen, check: Check, goal: float, *, may_fail: bool = False
    ) -> None:
        """Thaws the process and sends it a request; one more where the first may fail and did."""
        call = frozen.call
        started = time.perf_counter()
        frozen.process.process.send_signal(signal.SIGCONT)
        answer = await self._send(client, frozen.turn, call)
        milliseconds = (time.perf_counter() - started) * 1000
        failed = may_fail and answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        right = answer.is_success or (failed and "retry-after" in answer.headers)
        text = f"{call.name}: {answer.status_code} in {milliseconds:.0f} ms"
        check.expect(right and milliseconds <= goal, f"{text}: {answer.text[:200]}")
        how = "packets vanish" if call.vanishes else "closed by the server"
        print(f"    {text} (goal {goal}; {len(frozen.ports)} connections, {how})", flush=True)
        if failed:
            again = await self._send(client, frozen.turn, call)
            check.expect(again.is_success, f"{call.name}, again: {again.status_code}")

    def _frozen(self, turn: int, call: Call) -> Frozen:
        processes = self._functions.serving(call.function)
        process = processes[turn % len(processes)]
        found = psutil.Process(process.process.pid).net_connections("tcp")
        ports = {conn.laddr.port for conn in found if conn.raddr and conn.raddr.port == self._proxy.port}
        return Frozen(turn, call, process, ports)


def _counts(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} answered {status}" for status, count in sorted(statuses.items()))
