"""Pauses between retries that are short, where what comes of them is tested and not how long they are."""

import pytest

from kata_context import _requests


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pause before a request is sent again is 20 ms."""
    monkeypatch.setattr(_requests, "FIRST_PAUSE", 0.02)
