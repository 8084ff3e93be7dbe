"""Token counts: tiktoken's own for short texts, and an answer for any text, without a network."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import tokens
from lib.models import NewMessage

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tokens.VOCABULARY.parent)
    return tiktoken.get_encoding("o200k_base")


def count(text: str) -> int:
    return tokens.count([text])


class TestVocabulary:
    def test_is_in_the_bundle_unchanged(self) -> None:
        assert hashlib.sha256(tokens.VOCABULARY.read_bytes()).hexdigest() == tokens.VOCABULARY_SHA256

    def test_that_is_damaged_is_an_error_and_no_download(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(tokens, "VOCABULARY", tmp_path / "missing")
        with pytest.raises(RuntimeError, match="missing or damaged"):
            tokens._load.__wrapped__()

        (tmp_path / "missing").write_bytes(b"damaged")
        with pytest.raises(RuntimeError, match="missing or damaged"):
            tokens._load.__wrapped__()

    def test_makes_tiktokens_own_encoding(self, encoding: tiktoken.Encoding) -> None:
        ours = tokens._encoding()

        assert ours._pat_str == encoding._pat_str
        assert ours._mergeable_ranks == encoding._mergeable_ranks

    def test_needs_no_network(self) -> None:
        code = (
            "import sys\n"
            "def refuse(event, _):\n"
            "    assert not event.startswith('socket.'), event\n"
            "sys.addaudithook(refuse)\n"
            "from lib import tokens\n"
            "assert tokens.count(['hello world']) == 2\n"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={**os.environ, "HOME": "/nonexistent"})


class TestCount:
    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=300))
    def test_of_a_short_text_is_tiktokens_own(self, encoding: tiktoken.Encoding, text: str) -> None:
        assert count(text) == len(encoding.encode_ordinary(text))

    def test_of_special_tokens_is_that_of_their_text(self, encoding: tiktoken.Encoding) -> None:
        text = "<|endoftext|><|endofprompt|><|im_start|>"

        assert count(text) == len(encoding.encode(text, disallowed_special=())) > 6

    def test_of_long_prose_is_tiktokens_own(self, encoding: tiktoken.Encoding) -> None:
        words = (ROOT / "tests" / "data" / "agent-transcripts.jsonl").read_text()

        assert len(words) > tokens.PIECE
        assert count(words) == len(encoding.encode_ordinary(words))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.sampled_from([" word", " Word", "'s x", "é a", "  b", "\n c", "!! d", "1 2"]), min_size=40))
    def test_of_a_text_in_pieces_is_that_of_the_whole(self, encoding: tiktoken.Encoding, parts: list[str]) -> None:
        text = "".join(parts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tokens, "PIECE", 40)
            pieces = list(tokens._pieces(text))
            assert "".join(pieces) == text
            if all(len(piece) < 40 for piece in pieces):
                assert count(text) == len(encoding.encode_ordinary(text))

    @pytest.mark.parametrize(
        "text",
        [
            " " * 2_000_000,
            "\n" * 1_000_000,
            "\t \n" * 300_000,
            "a" * 4_000_000,
            "A" * 1_000_000,
            "!" * 1_000_000,
            "1" * 1_000_000,
            "\u0301" * 500_000,
            "👩‍👩‍👧‍👦" * 100_000,
            "中" * 1_000_000,
            "<|endoftext|>" * 50_000,
            "".join(random.Random(1).choices("ABCDEFGHIJabcdefghij0123456789+/", k=3_000_000)),
            "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000),
            "a " * 1_000_000,
            "\0\x01" * 200_000,
        ],
        ids=lambda text: repr(text[:4]),
    )
    def test_of_any_text_is_a_number_soon(self, text: str) -> None:
        assert 0 < count(text) <= len(text.encode())


class TestCountAll:
    def test_gives_one_number_per_message(self, run: Callable[[Awaitable[Any]], Any]) -> None:
        assert run(tokens.count_all([["hello", "hello world"], [], [""], ["x"]])) == [3, 0, 0, 1]

    def test_leaves_the_event_loop_to_others_while_it_counts(self, run: Callable[[Awaitable[Any]], Any]) -> None:
        async def beats_while_counting(text: str) -> tuple[int, float]:
            beats = 0
            counting = asyncio.create_task(tokens.count_all([[text]]))
            started = time.perf_counter()
            while not counting.done():
                await asyncio.sleep(0.001)
                beats += 1
            return beats, time.perf_counter() - started

        tokens.count(["load"])
        beats, seconds = run(beats_while_counting("a" * 4_000_000))

        # A blocked loop would have beaten once or twice.
        assert beats > 10, f"{beats} beats in {seconds:.1f} s"


class TestTexts:
    def test_of_a_message_are_content_text_parts_and_calls(self) -> None:
        message = NewMessage.model_validate(
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "data:…"}, "text": "b"},
                    {"type": "output_text", "text": "c"},
                    {"type": "text", "text": 5},
                    {"type": "text"},
                ],
                "toolCalls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            }
        )

        assert list(message.texts()) == ["a", "c", "f", "{}"]

    def test_of_a_string_are_the_string(self) -> None:
        assert list(NewMessage.model_validate({"role": "user", "content": "a"}).texts()) == ["a"]

    def test_are_counted_only_where_there_is_something_to_count(self) -> None:
        code = (
            "import asyncio, sys\n"
            "from lib import tokens\n"
            "assert asyncio.run(tokens.count_all([[], ['']])) == [0, 0]\n"
            "assert 'tiktoken' not in sys.modules\n"
            "assert asyncio.run(tokens.count_all([['x']])) == [1]\n"
            "assert 'tiktoken' in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
