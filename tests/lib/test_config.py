"""Settings: every variable has a default or is asked for, and what is wrong is named all at once."""

import re
from pathlib import Path

import pytest

from lib import config, errors

ROOT = Path(__file__).parents[2]
NEON = "postgresql://u:secret@ep-x-pooler.eu-central-1.aws.neon.tech/db?sslmode=require"
LOCAL = "postgresql://u:secret@localhost/db"


def refused(**environment: str) -> str:
    with pytest.raises(errors.NotConfigured) as raised:
        config.read(environment)
    return raised.value.detail


class TestRead:
    def test_needs_only_a_database(self) -> None:
        assert config.read({"DATABASE_URL": LOCAL}) == config.Settings(
            database_url=LOCAL,
            pool_size=3,
            timeout_seconds=15.0,
            prepared_statements="auto",
            api_keys=(),
            on_vercel=False,
        )

    def test_takes_several_keys_so_that_they_can_be_rotated(self) -> None:
        assert config.read({"DATABASE_URL": LOCAL, "API_KEYS": " old, new ,,"}).api_keys == ("old", "new")

    @pytest.mark.parametrize(
        ("url", "pooled", "on_neon"),
        [
            (NEON, True, True),
            (NEON.replace("-pooler", ""), False, True),
            (LOCAL, False, False),
            ("postgresql://postgres:@/postgres?host=/tmp/socket", False, False),
            ("postgres://u@db-pooler.internal/x", True, False),
        ],
    )
    def test_knows_neon_and_its_pooler_by_the_host(self, url: str, pooled: bool, on_neon: bool) -> None:
        settings = config.read({"DATABASE_URL": url})

        assert (settings.pooled, settings.on_neon) == (pooled, on_neon)

    def test_names_all_that_is_wrong_at_once(self) -> None:
        detail = refused(
            DATABASE_POOL_SIZE="many",
            DATABASE_TIMEOUT_MS="5",
            DATABASE_PREPARED_STATEMENTS="maybe",
            DATABASE_ALLOW_UNPOOLED="yes",
            VERCEL="1",
        )

        for name in (
            "DATABASE_URL",
            "DATABASE_POOL_SIZE",
            "DATABASE_TIMEOUT_MS",
            "DATABASE_PREPARED_STATEMENTS",
            "DATABASE_ALLOW_UNPOOLED",
            "API_KEYS",
        ):
            assert name in detail

    @pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "host=h password=secret", "postgresql://[secret"])
    def test_repeats_no_value(self, url: str) -> None:
        detail = refused(DATABASE_URL=url)

        assert detail == "DATABASE_URL must be a URL that starts with postgresql://"


class TestOnVercel:
    def test_serves_with_keys_and_neons_pooler(self) -> None:
        assert config.read({"DATABASE_URL": NEON, "API_KEYS": "k", "VERCEL": "1"}).on_vercel

    def test_refuses_to_serve_without_keys(self) -> None:
        assert "API_KEYS" in refused(DATABASE_URL=NEON, VERCEL="1")
        assert "API_KEYS" in refused(DATABASE_URL=NEON, VERCEL="1", API_KEYS=" , ")

    def test_refuses_another_host_than_neons_pooler_unless_allowed(self) -> None:
        assert "-pooler" in refused(DATABASE_URL=LOCAL, API_KEYS="k", VERCEL="1")
        assert config.read({"DATABASE_URL": LOCAL, "API_KEYS": "k", "VERCEL": "1", "DATABASE_ALLOW_UNPOOLED": "1"})


class TestDocumentation:
    def test_the_example_names_every_variable_with_its_default(self) -> None:
        example = (ROOT / ".env.example").read_text()
        documented = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.MULTILINE))

        for variable in config.VARIABLES:
            assert documented.get(variable.name) == variable.default, variable.name
