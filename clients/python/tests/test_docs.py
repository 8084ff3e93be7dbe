"""The blocks of the documents run as they stand."""

import pytest

from tests import snippets
from tests.conftest import ROOT, Stack


def test_five_minutes_for_python(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "docs/clients/python.md")


def test_five_minutes_for_pydantic_ai(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "docs/clients/pydantic-ai.md")


def test_the_snippets_of_the_api_reference(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "scripts/openapi/texts/snippets.md")
