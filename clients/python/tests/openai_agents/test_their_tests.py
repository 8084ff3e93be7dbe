"""The SDK's own tests of sessions, from its sdist, with KataSession in the place of their sessions."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import Stack

RELEASE = "openai-agents==0.24.0 --hash=sha256:4b4b285f4fed81fdf1b4ac426a9101658d9cd29b4fb1aaeee18f639b77e704e3"

FILES = [
    "memory/test_session.py",
    "memory/test_session_limit.py",
    "memory/test_session_context_wrapper.py",
    "memory/test_openai_responses_compaction_session.py",
    "memory/test_compaction_suffix.py",
    "deferred_session_writes",
    "test_hitl_session_scenario.py",
    "test_max_turns.py",
    "test_native_tool_failure_history.py",
    "test_run_state_pending_input.py",
    "test_soft_cancel.py",
    "test_tool_batch_failure_history.py",
    "test_tool_failure_boundaries.py",
]

SQLITE = "memory/test_session.py::test_sqlite_session_"
COMPACTION = "memory/test_openai_responses_compaction_session.py::TestOpenAIResponsesCompactionSession::test_"

# What is left out, and why.
LEFT_OUT = {
    f"{SQLITE}close_closes_worker_thread_connections": "connections of SQLite",
    f"{SQLITE}reaps_connections_from_exited_worker_threads": "connections of SQLite",
    f"{SQLITE}closes_retired_connections_before_the_next_allocation": "connections of SQLite",
    f"{SQLITE}keeps_connections_of_live_worker_threads": "connections of SQLite",
    f"{SQLITE}rollback_failure_evicts_connection": "connections of SQLite",
    f"{SQLITE}close_retries_quarantined_connection": "connections of SQLite",
    f"{SQLITE}closed_rejects_empty_add_items": "a session of ours has nothing to close",
    f"{SQLITE}pop_item_skips_corrupt_most_recent": "writes a row into the table that is no JSON",
    f"{SQLITE}pop_item_returns_none_after_dropping_only_corrupt_rows": "writes a row into the table that is no JSON",
    f"{SQLITE}get_items_limit_skips_corrupt_newest_rows": "writes a row into the table that is no JSON",
    f"{SQLITE}get_items_session_settings_limit_skips_corrupt_rows": "writes a row into the table that is no JSON",
    f"{SQLITE}file_lock_is_shared_across_instances": "a lock of SQLite's file",
    f"{SQLITE}failed_add_items_releases_write_lock": "a trigger in the table",
    f"{SQLITE}failed_clear_session_rolls_back": "a trigger in the table",
    f"{SQLITE}failed_pop_item_releases_write_lock": "a trigger in the table",
    f"{SQLITE}post_commit_cancellation_propagates_after_known_outcome": "replaces a connection of SQLite",
    f"{COMPACTION}automatic_compaction_rollback_budget": "counts calls of a private method of SQLiteSession",
    f"{COMPACTION}settled_pop_failure_invalidates_response_chain": "changes the list of the session in memory",
    f"{COMPACTION}settled_clear_failure_invalidates_response_chain": "changes the list of the session in memory",
}


@pytest.fixture(scope="module")
def theirs(pytestconfig: pytest.Config) -> Path:
    """Their tests, which are fetched once."""
    assert pytestconfig.cache
    folder = pytestconfig.cache.mkdir("openai-agents")
    tests = folder / RELEASE.split(maxsplit=1)[0].replace("-", "_", 1).replace("==", "-")
    if not tests.exists():
        (folder / "requirements.txt").write_text(RELEASE)
        options = ["--no-deps", "--no-binary=openai-agents", "--require-hashes", "-d", str(folder)]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", *options]
        subprocess.run([*pip, "-r", str(folder / "requirements.txt")], check=True)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return tests


def test_a_session_passes_the_tests_of_the_sdk(stack: Stack, theirs: Path) -> None:
    options = ["-q", "-p", "swapped", "-p", "no:cacheprovider", "--tb=short"]
    left_out = [f"--deselect=tests/{name}" for name in LEFT_OUT]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *left_out, *(f"tests/{name}" for name in FILES)],
        cwd=theirs,
        env={**os.environ, "KATA_CONTEXT_URL": stack.url, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-20_000:]
    # Warnings may be of connections of event loops that have ended.
    assert re.search(r"\n593 passed, 1 skipped, 24 deselected(, \d+ warnings?)? in", run.stdout), run.stdout
