"""Settings, read once from the environment. Never prints or logs a value: URLs carry passwords."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from lib import errors


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name, its default as text, and what it does."""

    name: str
    default: str
    meaning: str


# A database that hangs is given up 10 s later, after psycopg has tried to cancel; vercel.json's maxDuration is 30 s.
MAX_TIMEOUT_MS = 19_000

VARIABLES = (
    Variable("DATABASE_URL", "", "PostgreSQL with pgvector, as postgresql://…; on Neon the `-pooler` host"),
    Variable("DATABASE_POOL_SIZE", "3", "connections that one process may hold, 1 to 100"),
    Variable("DATABASE_TIMEOUT_MS", "15000", "milliseconds a request may spend on the database, 100 to 19000"),
    Variable(
        "DATABASE_PREPARED_STATEMENTS",
        "auto",
        "auto: on for direct connections and Neon, off behind any other pooler; on or off decide it",
    ),
    Variable("DATABASE_ALLOW_UNPOOLED", "0", "1 lets a Vercel deployment serve without Neon's `-pooler` host"),
    Variable("API_KEYS", "", "bearer tokens that requests must carry, separated by commas; required on Vercel"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. timeout_seconds bounds a request's use of the database."""

    database_url: str
    pool_size: int
    timeout_seconds: float
    prepared_statements: str
    api_keys: tuple[str, ...]
    on_vercel: bool

    @property
    def host(self) -> str:
        """The database's host; empty for a Unix socket."""
        return urlsplit(self.database_url).hostname or ""

    @property
    def pooled(self) -> bool:
        """Whether the host is Neon's pooler, by the suffix that Neon gives such hosts."""
        return self.host.partition(".")[0].endswith("-pooler")

    @property
    def on_neon(self) -> bool:
        """Whether the host is Neon's, pooler or not."""
        return self.host.endswith(".neon.tech")

    @property
    def warnings(self) -> list[str]:
        """What is well enough on a developer's machine and refused, or allowed on purpose, on Vercel."""
        open_to_all = [] if self.api_keys else ["API_KEYS is not set: anyone who reaches this server may use it"]
        unpooled = [] if self.pooled else ["DATABASE_URL names no -pooler host: Vercel would refuse to serve with it"]
        return open_to_all + unpooled


@cache
def settings() -> Settings:
    """The process's settings. Raises NotConfigured, naming at once all that is missing or wrong."""
    return read(os.environ)


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in environment. Raises NotConfigured, naming at once all that is missing or wrong."""
    wrong: list[str] = []
    values = {v.name: environment.get(v.name, "").strip() or v.default for v in VARIABLES}

    def whole(name: str, low: int, high: int) -> int:
        text = values[name]
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            wrong.append(f"{name} must be a whole number from {low} to {high}")
            return low
        return int(text)

    def choice(name: str, *options: str) -> str:
        if values[name] not in options:
            wrong.append(f"{name} must be {' or '.join(options)}")
        return values[name]

    found = Settings(
        database_url=values["DATABASE_URL"],
        pool_size=whole("DATABASE_POOL_SIZE", 1, 100),
        timeout_seconds=whole("DATABASE_TIMEOUT_MS", 100, MAX_TIMEOUT_MS) / 1000,
        prepared_statements=choice("DATABASE_PREPARED_STATEMENTS", "auto", "on", "off"),
        api_keys=tuple(key.strip() for key in values["API_KEYS"].split(",") if key.strip()),
        on_vercel=environment.get("VERCEL") == "1",
    )
    allow_unpooled = choice("DATABASE_ALLOW_UNPOOLED", "0", "1") == "1"

    if not found.database_url:
        wrong.append("DATABASE_URL is missing")
    elif not _is_url(found.database_url):
        wrong.append("DATABASE_URL must be a URL that starts with postgresql://")
    elif found.on_vercel and not (found.pooled or allow_unpooled):
        wrong.append("DATABASE_URL must name Neon's -pooler host (DATABASE_ALLOW_UNPOOLED=1 allows any other)")
    if found.on_vercel and not found.api_keys:
        wrong.append("API_KEYS is missing, and a deployment without keys would be open to anyone")
    if wrong:
        raise errors.NotConfigured("; ".join(wrong))
    return found


def _is_url(text: str) -> bool:
    try:
        return urlsplit(text).scheme in {"postgres", "postgresql"}
    except ValueError:
        return False
