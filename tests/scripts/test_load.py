"""python -m scripts.load --fork, against our server and one that loses answers. docs/ has what it prints without."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts import load
from scripts.replay import TRANSCRIPTS
from tests.scripts.test_smoke import http, sent_on, server


@dataclass(frozen=True, slots=True)
class Row:
    """What the command prints of a context: windows are messages / tokens of each budget."""

    line: str
    context_id: str
    figures: list[str]


def rows(printed: str) -> Iterator[Row]:
    """The rows of a table, without its head and its foot."""
    for line in printed.splitlines():
        name, context_id, *figures = line.replace(" / ", "/").split()
        if name[-1].isdigit() and len(context_id) == 36:
            yield Row(name, context_id, figures)


def messages_of(api: httpx.Client, context_id: str) -> Any:
    return api.get(f"/api/v1/contexts/{context_id}/messages", params={"limit": 1000}).json()["data"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The first two transcripts."""
    path = tmp_path / "transcripts.jsonl"
    path.write_text("".join(TRANSCRIPTS.read_text().splitlines(keepends=True)[:2]))
    return path


class TestFork:
    def test_goes_on_from_each_version_with_the_next_message_edited(
        self, api: httpx.Client, url: str, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert load.main([str(file), "--url", url, "--fork"]) == 0
        printed = capsys.readouterr().out

        found = list(rows(printed))
        assert [row.line for row in found] == [
            *["1", "@1", "@3", "@5", "@7", "@11"],
            *["2", "@1", "@5", "@37", "@43", "@61"],
        ]
        for row in found:
            if row.line[0] != "@":
                parent, history = row.context_id, messages_of(api, row.context_id)
                continue
            context = api.get(f"/api/v1/contexts/{row.context_id}").json()["data"]
            messages = messages_of(api, row.context_id)
            version = int(row.line[1:])
            assert (context["parentId"], context["forkVersion"]) == (parent, version)
            assert messages[:-1] == history[:version]
            assert messages[-1]["contextId"] == row.context_id
            assert (messages[-1]["role"], messages[-1]["content"]) == (
                "user",
                f"{history[version]['content']} Answer in one sentence, please.",
            )
        assert printed.endswith("@ is a fork at that version, where the next message was edited.\n")

    def test_shows_what_its_windows_hold_as_of_any_context(
        self, api: httpx.Client, url: str, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert load.main([str(file), "--url", url, "--fork"]) == 0

        for row in rows(capsys.readouterr().out):
            context = api.get(f"/api/v1/contexts/{row.context_id}").json()["data"]
            windows = [
                api.get(f"/api/v1/contexts/{row.context_id}/window", params={"budget": budget}).json()
                for budget in load.BUDGETS
            ]
            assert row.figures == [
                f"{context['messageCount']:,}",
                f"{context['totalTokens']:,}",
                *[f"{len(window['data']):,}/{window['usedTokens']:,}" for window in windows],
            ]

    def test_is_made_once_where_the_answer_was_lost(
        self, api: httpx.Client, url: str, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lost: list[bytes] = []

        def lose(request: bytes) -> bytes:
            """The first answer to each write is a 503, though it was stored."""
            answer = sent_on(url, request)
            if request.startswith(b"POST") and request not in lost:
                lost.append(request)
                return http("503 Service Unavailable", "{}", "Retry-After: 0", "Connection: close")
            return answer

        with server(lose) as unlucky:
            assert load.main([str(file), "--url", unlucky, "--fork"]) == 0

        found = list(rows(capsys.readouterr().out))
        parents = [row for row in found if row.line[0] != "@"]
        listed = [api.get(f"/api/v1/contexts/{row.context_id}/forks").json()["data"] for row in parents]
        assert len(lost) == 2 * (1 + 1) + 10 * (1 + 1)
        assert {fork["id"] for forks in listed for fork in forks} == {
            row.context_id for row in found if row.line[0] == "@"
        }
        assert all(fork["messageCount"] == fork["forkVersion"] + 1 for forks in listed for fork in forks)

    def test_is_not_made_unless_it_was_asked_for(
        self, api: httpx.Client, url: str, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert load.main([str(file), "--url", url]) == 0

        found = list(rows(capsys.readouterr().out))
        assert [row.line for row in found] == ["1", "2"]
        assert [api.get(f"/api/v1/contexts/{row.context_id}/forks").json()["data"] for row in found] == [[], []]


class TestForkVersions:
    @pytest.mark.parametrize(
        ("roles", "versions"),
        [
            ("", []),
            ("sa", []),
            ("u", [0]),
            ("suau", [1, 3]),
            ("uuuuu", [0, 1, 2, 3, 4]),
            ("suauauauauau", [1, 3, 5, 7, 11]),
            ("u" * 101, [0, 25, 50, 75, 100]),
        ],
    )
    def test_are_before_user_messages_from_the_first_to_the_last(self, roles: str, versions: list[int]) -> None:
        names = {"s": "system", "u": "user", "a": "assistant"}

        assert load.fork_versions([{"role": names[role], "content": "x"} for role in roles]) == versions


class TestEdited:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("And now?", f"And now? {load.EDIT}"),
            ([{"type": "text", "text": "x"}], [{"type": "text", "text": "x"}, {"type": "text", "text": load.EDIT}]),
            (None, load.EDIT),
        ],
    )
    def test_says_the_same_and_something_besides(self, content: Any, expected: Any) -> None:
        message = {"role": "user", "content": content, "name": "kim"}

        assert load.edited(message) == {**message, "content": expected}
