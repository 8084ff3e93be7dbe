"""One request in this process, and what it cost others: `python tests/lib/hostile.py`, as test_hostile.py runs it.

Reads a JSON object of method, path, headers and body from standard input, and writes one of status, stall and memory:
the longest time that the event loop was kept from other work, in milliseconds of this process's CPU (so that a busy
machine counts for little), and how far the memory went above that of the idle process, in MB.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from scripts.stack.router import Router

# Seconds between two looks of the watch.
TICK = 0.002

WARM_UP = '{"messages": [{"role": "user", "content": "Hello"}]}'


async def send(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer to a request."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def answer(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, answer)
    return status


def memory(field: str) -> float:
    """A field of /proc/self/status, in MB: VmRSS is what is resident now, VmHWM the most since it was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def reset_memory() -> float:
    """What is resident now, in MB; VmHWM starts from there."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


async def main(request: dict[str, Any]) -> dict[str, float]:
    """What the request cost."""
    app = Router()
    headers = {"content-type": "application/json"}
    await send(app, "POST", request["warm_up"], WARM_UP.encode(), headers)
    stall = 0.0

    async def watch() -> None:
        nonlocal stall
        while True:
            before = time.process_time()
            await asyncio.sleep(TICK)
            stall = max(stall, time.process_time() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(10 * TICK)
    stall = 0.0
    idle = reset_memory()
    body = request.pop("body").encode()
    status = await send(app, request["method"], request["path"], body, headers | request["headers"])
    await asyncio.sleep(10 * TICK)
    watching.cancel()
    return {"status": status, "stall": stall * 1000, "memory": memory("VmHWM") - idle}


if __name__ == "__main__":
    result = asyncio.run(main(json.load(sys.stdin)))
    sys.stdout.write(f"{json.dumps(result)}\n")
