"""Breaks everything while clients write and read, and checks that no promise broke: `make chaos`.

`python -m scripts.chaos [--seconds 120] [--seed 1] [--short] [--dev]`. Clients call the functions on Vercel's runtime,
these reach an embedded PostgreSQL through a TCP proxy and a PgBouncer of 2 server connections, and a schedule that the
seed decides kills, freezes, cuts and restarts all of it. Then every context is checked against what was acknowledged.
The exit status is 1 where a check fails.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack

from scripts import bundle
from scripts.chaos.checks.api import check_api, settle
from scripts.chaos.checks.appends import check_appends
from scripts.chaos.checks.changes import check_changes
from scripts.chaos.checks.forks import check_forks
from scripts.chaos.checks.stored import Stored, quiet
from scripts.chaos.clients import Client, Run
from scripts.chaos.faults import Breaker, possible, schedule
from scripts.chaos.figures import INSTANCES, Figures
from scripts.chaos.log import Check, Context, Faults, Log
from scripts.chaos.proxy import Proxy
from scripts.chaos.readers import Reader
from scripts.chaos.stack import API_KEY, Functions, Postgres, deployed, dev_servers
from scripts.chaos.writers import Writer
from scripts.migrate import MigrationError
from scripts.stack.pgbouncer import PgBouncerError, pgbouncer
from scripts.stack.postgres import PostgresError
from scripts.stack.vercel.functions import StartError

SECONDS = 120.0
SHORT_SECONDS = 15.0

WRITERS = 8
READERS = 4

# Contexts that all writers append to; each has others of its own.
SHARED_CONTEXTS = 2

# Acknowledged appends that are replayed at the end, at most, and compactions, and creations and forks.
REPLAYS = 1000
SHORT_REPLAYS = 200

# Processes of each function, or of the dev server, while faults are injected.
FUNCTION_INSTANCES = 2
DEV_INSTANCES = 3

# Seconds of work after the last fault.
RECOVERY_SECONDS = 3.0

# PgBouncer waits 15 s by default until it tries a server again that refused it. The run is shorter than that.
LOGIN_RETRY_SECONDS = 1

type Start = Callable[[Mapping[str, str], bool], AbstractContextManager[Functions]]


def _functions(*, dev: bool) -> Start:
    """What starts the functions, given their environment and whether there is to be one process for each."""
    if not dev and not (shutil.which("node") and shutil.which("npm")):
        print("node and npm are missing: this runs against dev servers and leaves Vercel's runtime out.")
        dev = True
    if dev:
        return lambda environment, single: dev_servers(environment, INSTANCES if single else DEV_INSTANCES)
    print("Building the bundle …", flush=True)
    built = bundle.build("chaos")
    return lambda environment, single: deployed(built, environment, 1 if single else FUNCTION_INSTANCES)


async def _run(start: Start, seed: int, seconds: float, *, short: bool) -> list[Check]:
    """Runs both phases. Returns what was checked."""
    if task := asyncio.current_task():
        # Ended by an exception at any place, it would not stop what it has started in order.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with ExitStack() as stack:
        database = Postgres(stack)
        pooler = stack.enter_context(pgbouncer(database.url, server_login_retry=LOGIN_RETRY_SECONDS))
        async with Proxy(pooler.port) as proxy:
            environment = {
                "VERCEL": "1",
                "API_KEYS": API_KEY,
                "DATABASE_ALLOW_UNPOOLED": "1",
                "DATABASE_URL": pooler.url.replace(f":{pooler.port}/", f":{proxy.port}/"),
            }
            print("\nFirst requests after a freeze, and a burst", flush=True)
            with start(environment, True) as functions:
                checks = await Figures(functions, proxy, pooler).measure(short=short)
            with start(environment, False) as functions:
                run = Run(seed, functions, Log(), Faults())
                breaker = Breaker(database, pooler, proxy, functions, run.faults)
                checks += await _chaos(database, breaker, run, seconds, replays=SHORT_REPLAYS if short else REPLAYS)
    return checks


async def _chaos(database: Postgres, breaker: Breaker, run: Run, seconds: float, *, replays: int) -> list[Check]:
    """Writes, reads and breaks for so many seconds. Returns what was checked."""
    print(f"\nChaos, {seconds:.0f} s: {WRITERS} writers, {READERS} readers, seed {run.seed}", flush=True)
    log, faults = run.log, run.faults
    async with AsyncExitStack() as stack:

        def client[C: Client](made: C) -> C:
            stack.push_async_callback(made.close)
            return made

        settler = client(Writer("settler", run, []))
        shared = [context for _ in range(SHARED_CONTEXTS) if (context := await settler.create())]
        writers = [client(Writer(f"w{n}", run, shared)) for n in range(WRITERS)]
        readers = [client(Reader(f"r{n}", run)) for n in range(READERS)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for one in (*writers, *readers):
                group.create_task(one.run(stop))
            await breaker.run(schedule(run.seed, seconds), seconds)
            # The last fault must be recovered from, too.
            await asyncio.sleep(RECOVERY_SECONDS)
            stop.set()
        _print_run(log, faults)

        checks = [await quiet(database.url), await settle(log, settler)]
        stored = Stored(database.url)
        checks += check_appends(log, stored)
        checks += check_changes(log, stored)
        checks += check_forks(log, stored)
        checks += await check_api(log, stored, readers[0], settler, replays=replays)
    checks += [log.answers, log.creations, log.appends, log.changes, log.replays]
    checks += [log.pages, log.names, log.windows, log.etags, log.patience]
    checks.append(faults.check())
    every = Check("each kind of fault was injected")
    for kind in possible():
        every.expect(any(fault.kind == kind for fault in faults.all), kind)
    checks.append(every)
    failures = [line for line in run.functions.log() if "failure" in line or "Traceback" in line]
    if log.answers.wrong and failures:
        print("  what the functions have logged of errors:", *failures, sep="\n    ")
    return checks


def _print_run(log: Log, faults: Faults) -> None:
    stored = sum(len(batch.messages) for batch in log.batches if batch.acknowledged)
    unacknowledged = sum(not batch.acknowledged for batch in log.batches)
    print(f"  {log.requests:,} requests sent, by answer:")
    _print_counts(log.statuses)
    print(f"  {log.cuts.total():,} of them cut by the client:")
    _print_counts(log.cuts)
    print(f"  {log.retries.total():,} retries:")
    _print_counts(log.retries)
    print(f"  {len(log.contexts):,} contexts, {len(log.batches):,} appends, {stored:,} messages acknowledged,")
    print(f"    {unacknowledged:,} appends not acknowledged; slowest acknowledged append {log.slowest_write:.1f} s")
    made = sum(compaction.acknowledged is not None for compaction in log.compactions)
    undone = sum(undo.acknowledged is not None for context in log.contexts for undo in context.undos)
    forks = [fork for fork in log.forks if fork.id]
    named = sum(bool(fork.body.get("moveExternalId")) for fork in forks)
    deleted = sum(context.deletion is not None for context in log.contexts)
    patches = sum(patch.acknowledged is not None for context in log.contexts for patch in context.patches)
    print(f"  {patches:,} policies set, {made:,} compactions made, {len(log.refusals):,} refused, {undone:,} undone,")
    print(f"    {len(log.seen):,} windows read meanwhile that the rule is held against")
    print(f"  {len(forks):,} forks made, the deepest behind {max(map(_depth, forks), default=0)} others,")
    print(f"    {named:,} with their parent's external id, {len(log.refused_forks):,} refused;", end=" ")
    print(f"{deleted:,} parents deleted")
    print(f"  {len(faults.all):,} faults injected, and the time from the end of each to the first success:")
    print(*faults.table(), sep="\n", flush=True)


def _depth(context: Context) -> int:
    """How many forks it is a fork of, one of the other."""
    return 1 + _depth(context.parent) if context.parent and context.parent.parent else 0


def _print_counts(counts: Counter[str]) -> None:
    for name, count in sorted(counts.items()):
        print(f"    {count:>8,}  {name}")


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 where a check failed or something could not start."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos", description="Breaks everything, checks promises.")
    parser.add_argument("--seconds", type=float, help=f"how long faults are injected: {SECONDS:.0f} if absent")
    parser.add_argument("--seed", type=int, default=1, help="decides faults and what clients do; 1 if absent")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_SECONDS:.0f} s of faults, and short freezes")
    parser.add_argument("--dev", action="store_true", help="against dev servers, without Vercel's runtime")
    chosen = parser.parse_args(arguments)
    seconds = chosen.seconds or (SHORT_SECONDS if chosen.short else SECONDS)
    started = time.perf_counter()
    try:
        checks = asyncio.run(_run(_functions(dev=chosen.dev), chosen.seed, seconds, short=chosen.short))
    except (bundle.BundleError, StartError, PgBouncerError, PostgresError, MigrationError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("chaos: stopped", file=sys.stderr)
        return 1
    print("\nChecks")
    print(*checks, sep="\n")
    failed = sum(not check.holds for check in checks)
    print(f"\n{len(checks) - failed} of {len(checks)} checks hold. Took {time.perf_counter() - started:.0f} s.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
