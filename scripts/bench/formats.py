"""The bench's section on formats: the window of 133 messages in each provider's format beside the same in our own.

In process from the statement to the JSON bytes, and over HTTP. What is compared alternates.
"""

from statistics import median
from uuid import UUID

from psycopg import AsyncConnection

from lib import formats, web, windows
from lib.windows import RENDERER
from scripts.bench import http
from scripts.bench.report import Report
from scripts.bench.sql import BUDGET, WINDOW, Subject, medians

ITERATIONS = 400

# Connections at once, over HTTP.
CONNECTIONS = 8

# The lowest rate beside that of the window in our own format.
GOAL = 0.5

PROVIDERS = [name for name in RENDERER if name != "kata"]


async def measure(report: Report, conn: AsyncConnection[object], context_id: UUID) -> None:
    """Prints the part in process."""

    def answering(name: str) -> Subject:
        async def answer(_: int) -> bytes:
            window = await windows.read(conn, context_id, overrides={"budget": BUDGET}, format_name=name)
            assert len(window.messages) == WINDOW, len(window.messages)
            if name == "kata":
                return web.listed(window.texts, window.figures).body
            rendered = formats.render(window)
            return web.shown(rendered.data, {**window.figures, **rendered.figures}).body

        return answer

    times = await medians(ITERATIONS, {name: answering(name) for name in RENDERER})
    title = f"Window of {BUDGET:,} tokens = {WINDOW} messages, in each format, in process"
    report.section(title, "median ms", "x kata", "goal", "")
    report.row("kata", f"{times['kata']:.3f}", "1.00")
    for name in PROVIDERS:
        report.at_least(name, f"{times[name]:.3f}", measured=times["kata"] / times[name], limit=GOAL)


def measure_http(report: Report, database_url: str, context_id: UUID) -> None:
    """Prints the part over HTTP."""
    path = f"/api/v1/contexts/{context_id}/window?budget={BUDGET}"
    asked = {name: [http.request("GET", f"{path}&format={name}")] for name in RENDERER}
    ours: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in PROVIDERS}
    with http.server(database_url) as port, http.client(port) as load:
        for lines in asked.values():
            load.run(lines, CONNECTIONS)
        for _ in range(http.ROUNDS):
            for name in PROVIDERS:
                rate, _ = load.run(asked["kata"], CONNECTIONS)
                ours.append(rate)
                ratios[name].append(load.run(asked[name], CONNECTIONS)[0] / rate)
    report.section(f"The same over HTTP, {CONNECTIONS} connections", "req/s", "x kata", "goal", "")
    report.row("kata", f"{median(ours):,.0f}", "1.00")
    for name, measured in ratios.items():
        ratio = median(measured)
        report.at_least(name, f"{median(ours) * ratio:,.0f}", measured=ratio, limit=GOAL)
