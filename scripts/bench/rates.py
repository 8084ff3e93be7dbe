"""What functions do on Vercel's runtime under load: requests per second, latency, memory, and the CPU of a request."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from scripts.bench.calls import CONNECTIONS, Call, cpu_milliseconds
from scripts.bench.http import Client, client
from scripts.bench.report import Report
from scripts.stack.vercel.deployment import Deployment
from scripts.stack.vercel.functions import Instance

ROUNDS = 9
ROUND_SECONDS = 0.4

# CPU of a request that is ours, beside all of a no-op's: half of what it was before anything was done about it. What is
# ours is beyond a no-op that is spared the same imports: what the runtime no longer does is no saving of ours.
GOALS = {"context": 0.4, "page": 0.65, "window": 0.85, "counted": 0.75}


@dataclass(slots=True)
class Rounds:
    """A call's rounds on one deployment: requests per second, CPU milliseconds a request, latencies in microseconds."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[int] = field(default_factory=list)
    megabytes: float = 0.0

    @property
    def milliseconds(self) -> float:
        """CPU of one request."""
        return median(self.cpu)


def measure(report: Report, deployments: Mapping[str, Deployment], calls: Mapping[str, Call]) -> None:
    """Prints both sections. The first deployment is what would be deployed; each other is its rival."""
    ours, *rivals = deployments
    columns = [cell for name in rivals for cell in (name, "MB")]
    title = f"On Vercel's runtime, {CONNECTIONS} connections"
    report.section(title, *columns, "req/s", "MB", "p50 ms", "p99 ms", "x no-op")
    found: dict[str, dict[str, Rounds]] = {}
    for key, call in calls.items():
        found[key] = _rounds(deployments, call, calls["noop"])
        row, noop = found[key][ours], found[key]["noop"]
        rates = [(median(found[key][name].rates), found[key][name].megabytes) for name in (*rivals, ours)]
        percentiles = quantiles(row.latencies, n=100)
        report.row(
            call.name,
            *(f"{figure:,.0f}" for pair in rates for figure in pair),
            f"{percentiles[49] / 1000:.1f}",
            f"{percentiles[98] / 1000:.1f}",
            f"{median(rate / floor for rate, floor in zip(row.rates, noop.rates, strict=True)):.2f}",
        )

    columns = [cell for name in rivals for cell in (f"{name}: ms", "ours")]
    report.section(
        "CPU of one of these requests; ours is beyond the no-op that is spared imports",
        *columns,
        "ms",
        "ours",
        "x no-op",
        "goal",
        "",
    )
    for key, call in calls.items():
        cpu = {name: found[key][name].milliseconds for name in deployments}
        own = {name: cpu[name] - found["spared"][name].milliseconds for name in deployments}
        cells = [f"{figure:.2f}" for name in (*rivals, ours) for figure in (cpu[name], own[name])]
        ratio = own[ours] / found["noop"][ours].milliseconds
        if key in GOALS:
            report.at_most(call.name, *cells, measured=ratio, limit=GOALS[key])
        else:
            report.row(call.name, *cells, f"{ratio:.2f}")


def _rounds(deployments: Mapping[str, Deployment], call: Call, noop: Call) -> dict[str, Rounds]:
    """The rounds of call on each deployment, and of the no-op on the first, all by turns."""
    with ExitStack() as stack:
        running: dict[str, tuple[Call, Instance, Client]] = {}
        for name, (deployment, what) in {
            **{name: (deployment, call) for name, deployment in deployments.items()},
            "noop": (next(iter(deployments.values())), noop),
        }.items():
            instance = deployment.functions[what.function].start()
            stack.callback(instance.stop)
            running[name] = what, instance, stack.enter_context(client(instance.port))
        for what, _, load in running.values():
            load.run([*what.requests], CONNECTIONS, ROUND_SECONDS)  # tokenizers are loaded, statements prepared
        rounds = {name: Rounds() for name in running}
        for _ in range(ROUNDS):
            for name, (what, instance, load) in running.items():
                before = cpu_milliseconds(instance)
                rate, latencies = load.run([*what.requests], CONNECTIONS, ROUND_SECONDS)
                rounds[name].rates.append(rate)
                rounds[name].cpu.append((cpu_milliseconds(instance) - before) / len(latencies))
                rounds[name].latencies += latencies
        for name, (_, instance, _) in running.items():
            rounds[name].megabytes = _resident_megabytes(instance)
    return rounds


def _resident_megabytes(instance: Instance) -> float:
    """What the process has in memory, of which its files' pages are shared with others."""
    status = Path(f"/proc/{instance.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) * 1024 / 1e6
