"""The AI SDK for the tests of this folder, which are left out where node or npm is missing."""

from collections.abc import Iterator

import pytest

from tests.formats.ai_sdk_node import Checker, packages


@pytest.fixture(scope="session")
def checker(request: pytest.FixtureRequest) -> Iterator[Checker]:
    """One process of node for the whole run."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # an installation is said where it can be seen
        packages()
    with Checker() as checker:
        yield checker
