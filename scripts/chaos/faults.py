"""What `make chaos` breaks, and when: a schedule that a seed decides before anything runs."""

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg

from scripts.chaos.log import Fault, Faults
from scripts.chaos.proxy import PACKETS_CAN_VANISH, Proxy
from scripts.chaos.stack import Functions, Postgres
from scripts.stack.pgbouncer import PgBouncer

# Faults per second, at most: bounds the schedule.
MAX_RATE = 2

# Longest time in seconds from the end of one fault to the next.
MAX_PAUSE = 1.2

# Longest time in seconds that something is down, and that something hangs: longer than clients and TCP wait.
MAX_DOWN = 1.0
MAX_HANG = 5.0

# Seconds within which there are backends and connections to break, and something stored whose answer can be lost.
FIND_TIMEOUT = 5.0
FIND_ATTEMPTS = 100

PIDS = """
SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid
"""
TERMINATE = "SELECT pg_terminate_backend(%(pid)s)"


class Kind(StrEnum):
    """A kind of fault, by the name that it has in the output."""

    TERMINATE_BACKENDS = "PostgreSQL backends terminated"
    CRASH_POSTGRES = "PostgreSQL killed (SIGKILL), recovers"
    RESTART_PGBOUNCER = "PgBouncer restarted (SIGTERM)"
    KILL_PGBOUNCER = "PgBouncer killed (SIGKILL)"
    FREEZE = "function process frozen (SIGSTOP)"
    KILL = "function process killed (SIGKILL)"
    STOP = "function process stopped (SIGTERM)"
    RESET = "database connections reset"
    LOSE_ANSWER = "connection cut between commit and answer"
    STALL = "database connections stalled"
    VANISH = "packets of database connections vanish"


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come: seconds after the one before, seconds that it lasts, whom it hits (0 to 1), whether all."""

    kind: Kind
    pause: float
    seconds: float
    victim: float
    everyone: bool


def schedule(seed: int, seconds: float) -> list[Planned]:
    """More faults than fit into seconds: each kind once in random order, then each once again, and so on."""
    chance = random.Random(f"{seed}/faults")  # noqa: S311 - it must be repeatable, not secret
    kinds = list(Kind)
    planned: list[Planned] = []
    while len(planned) < seconds * MAX_RATE + len(kinds):
        chance.shuffle(kinds)
        for kind in kinds:
            longest = MAX_HANG if kind in {Kind.FREEZE, Kind.STALL} else MAX_DOWN
            pause, lasts, victim = chance.uniform(0, MAX_PAUSE), chance.uniform(0, longest), chance.random()
            planned.append(Planned(kind, pause, lasts, victim, everyone=chance.random() < 0.3))
    return [fault for fault in planned if fault.kind in possible()]


def possible() -> list[Kind]:
    """The kinds of faults that this system can have: without socket filters packets cannot vanish."""
    return [kind for kind in Kind if kind != Kind.VANISH or PACKETS_CAN_VANISH]


class Breaker:
    """Carries a schedule out."""

    def __init__(
        self, postgres: Postgres, pooler: PgBouncer, proxy: Proxy, functions: Functions, faults: Faults
    ) -> None:
        self._postgres = postgres
        self._pooler = pooler
        self._proxy = proxy
        self._functions = functions
        self._faults = faults

    async def run(self, planned: Sequence[Planned], seconds: float) -> None:
        """Carries out as much as fits into seconds, and each kind at least once."""
        until = time.monotonic() + seconds
        for number, fault in enumerate(planned):
            if time.monotonic() > until and number >= len(Kind):
                return
            await asyncio.sleep(fault.pause)
            if await self._inject(fault):
                self._faults.add(Fault(fault.kind, time.monotonic()))

    async def _inject(self, fault: Planned) -> bool:
        """Whether there was something to break."""
        match fault.kind:
            case Kind.TERMINATE_BACKENDS:
                return await self._terminate_backends(fault)
            case Kind.CRASH_POSTGRES:
                await asyncio.to_thread(self._postgres.crash)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self._postgres.start)
            case Kind.RESTART_PGBOUNCER:
                await asyncio.to_thread(self._pooler.restart)
            case Kind.KILL_PGBOUNCER:
                await asyncio.to_thread(self._pooler.kill)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self._pooler.start)
            case Kind.FREEZE | Kind.KILL | Kind.STOP:
                return await self._break_process(fault)
            case Kind.LOSE_ANSWER:
                return await self._proxy.lose_answer(FIND_TIMEOUT)
            case Kind.RESET | Kind.STALL | Kind.VANISH:
                return await self._break_connections(fault)
        return True

    async def _terminate_backends(self, fault: Planned) -> bool:
        async with await psycopg.AsyncConnection.connect(self._postgres.url, autocommit=True) as conn:
            for _ in range(FIND_ATTEMPTS):
                if pids := [pid for (pid,) in await (await conn.execute(PIDS)).fetchall()]:
                    break
                await asyncio.sleep(FIND_TIMEOUT / FIND_ATTEMPTS)  # after another fault there may be none yet
            for pid in _victims(pids, fault):
                await conn.execute(TERMINATE, {"pid": pid})
        return bool(pids)

    async def _break_process(self, fault: Planned) -> bool:
        processes = _victims(self._functions.processes(), fault)
        if fault.kind == Kind.KILL:
            await asyncio.gather(*(asyncio.to_thread(process.kill) for process in processes))
        elif fault.kind == Kind.STOP:
            await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))
        else:
            # In the middle of whatever they do, unlike the platform, which freezes between requests.
            for process in processes:
                process.process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                for process in processes:
                    process.process.send_signal(signal.SIGCONT)
        return bool(processes)

    async def _break_connections(self, fault: Planned) -> bool:
        for _ in range(FIND_ATTEMPTS):
            if links := _victims(self._proxy.links, fault):
                break
            await asyncio.sleep(FIND_TIMEOUT / FIND_ATTEMPTS)  # after another fault there may be none yet
        if fault.kind == Kind.STALL:
            await self._proxy.stall(links, fault.seconds)
        for link in links:
            if fault.kind == Kind.RESET:
                link.reset()
            elif fault.kind == Kind.VANISH:
                link.silence()
        return bool(links)


def _victims[Victim](candidates: Sequence[Victim], fault: Planned) -> list[Victim]:
    """All of the candidates, or the one that the fault hits."""
    if fault.everyone or not candidates:
        return list(candidates)
    return [candidates[int(fault.victim * len(candidates))]]
