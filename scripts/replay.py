"""Transcripts as one thread, replayed call after call of a model: for what windows cost and how they are drawn.

Each assistant message was answered by a model, so a window is that of the version before it. Providers charge about a
tenth for the tokens by which a request begins as the request before did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from lib import jsontext, tokens
from lib.models import Append
from scripts import load
from scripts.stack.router import ROOT

TRANSCRIPTS = ROOT / "tests" / "data" / "agent-transcripts.jsonl"

# What a token costs that a provider has in its cache, beside another.
CACHED = 0.1


class Sent(NamedTuple):
    """A message of a window: it is equal to another where a model would read the same."""

    version: int
    tokens: int
    cleared: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """Transcripts as one history: its messages in OpenAI's chat shape, the tokens of each, and how many lead it."""

    messages: Sequence[Mapping[str, Any]]
    token_counts: Sequence[int]
    preamble: int

    @property
    def calls(self) -> list[int]:
        """The versions after which the model was called."""
        return [before for before, message in enumerate(self.messages) if before and message["role"] == "assistant"]


async def thread(file: Path = TRANSCRIPTS, least_tokens: int = 0) -> Thread:
    """The transcripts of a file, one behind the other, and again until there are so many tokens.

    Only the first one's system messages lead. Raises LoadError for a file that holds none.
    """
    transcripts = [transcript.messages for transcript in load.transcripts(file)]
    spoken = [[message for message in transcript if not _is_system(message)] for transcript in transcripts]
    if not any(spoken):
        raise load.LoadError(f"{file} holds no transcript")
    preamble = list(takewhile(_is_system, transcripts[0]))
    history, counts = [*preamble], await _counts(preamble)
    rounds = cycle(zip(spoken, [await _counts(messages) for messages in spoken], strict=True))
    done = 0
    while done < len(spoken) or sum(counts) < least_tokens:
        more, tokens_of_more = next(rounds)
        history += more
        counts += tokens_of_more
        done += 1
    return Thread(history, counts, len(preamble))


def alike(before: Sequence[Sent], window: Sequence[Sent]) -> int:
    """How many messages two windows begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, window, strict=False)))


def _is_system(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "system")


async def _counts(transcript: list[dict[str, Any]]) -> list[int]:
    batches = [Append.model_validate(jsontext.parse(body)) for body in load.batches(transcript)]
    return await tokens.count_all(message.texts() for batch in batches for message in batch.messages)
