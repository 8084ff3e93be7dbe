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


VARIABLES = (
    Variable("DATABASE_URL", "", "PostgreSQL with pgvector, as postgresql://…; on Neon the `-pooler` host"),
    Variable("DATABASE_POOL_SIZE", "3", "connections that one process may hold, 1 to 100"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    database_url: str
    pool_size: int
    on_vercel: bool

    @property
    def pooled(self) -> bool:
        """Whether database_url names Neon's pooler, by the suffix that Neon gives such hosts."""
        return (urlsplit(self.database_url).hostname or "").partition(".")[0].endswith("-pooler")


@cache
def settings() -> Settings:
    """The process's settings. Raises NotConfigured, naming at once all that is missing or wrong."""
    return read(os.environ)


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in environment. Raises NotConfigured, naming at once all that is missing or wrong."""
    wrong: list[str] = []
    values = {v.name: environment.get(v.name, "").strip() or v.default for v in VARIABLES}

    url = values["DATABASE_URL"]
    if not url:
        wrong.append("DATABASE_URL is missing")
    elif urlsplit(url).scheme not in {"postgres", "postgresql"}:
        wrong.append("DATABASE_URL must start with postgresql://")

    size = values["DATABASE_POOL_SIZE"]
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 100):
        wrong.append("DATABASE_POOL_SIZE must be a whole number from 1 to 100")

    if wrong:
        raise errors.NotConfigured("; ".join(wrong))
    return Settings(database_url=url, pool_size=int(size), on_vercel=environment.get("VERCEL") == "1")
