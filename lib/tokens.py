"""How many tokens a message has, by tiktoken's o200k_base. Pure: never downloads, and loads tiktoken only to count.

tiktoken would download the vocabulary, so the encoding is made here from the file in the bundle. It panics on a million
spaces and takes time that grows faster than a long text, so it gets texts in pieces.
"""

import asyncio
import hashlib
import re
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

VOCABULARY = Path(__file__).parent / "data" / "fb374d419588a4632f3f557e76b4b70aebbca790"
VOCABULARY_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

# How o200k_base cuts a text before it looks for tokens; a test holds it against tiktoken's own.
_WORD_END = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _WORD_END,
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _WORD_END,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

# Characters that tiktoken gets at once: 2 to 20 ms of work. A cut inside a run without words may change the count by
# one or two tokens; every cut before a word changes nothing.
PIECE = 50_000

# Where o200k_base's own pattern always ends a token: between any visible character and a space that starts a word.
_WORD_START = re.compile(r"(?<=\S) (?=[A-Za-z])")

# Characters of text above which counting leaves the event loop for a thread: about 1 ms of work.
INLINE = 10_000

_loading = Lock()


async def count_all(messages: Iterable[Iterable[str]]) -> list[int]:
    """Tokens in each message's texts, counted in a thread where that takes long."""
    texts = [[text for text in message if text] for message in messages]
    if not any(texts):
        return [0] * len(texts)
    if _load.cache_info().currsize and sum(len(text) for message in texts for text in message) <= INLINE:
        return [count(message) for message in texts]
    return await asyncio.to_thread(lambda: [count(message) for message in texts])


def count(texts: Iterable[str]) -> int:
    """Tokens in texts, each by itself. Text that looks like a special token counts as text.

    Never raises on any Unicode text; takes about 1 ms for 10,000 characters, with the GIL released.
    """
    return sum(len(_encoding().encode_ordinary(piece)) for text in texts for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    while len(text) > PIECE:
        boundaries = [found.start() for found in _WORD_START.finditer(text, PIECE // 2, PIECE)]
        end = boundaries[-1] if boundaries else PIECE
        yield text[:end]
        text = text[end:]
    yield text


def _encoding() -> "tiktoken.Encoding":
    with _loading:
        return _load()


@cache
def _load() -> "tiktoken.Encoding":
    """About 170 ms and 70 MB. Raises RuntimeError where the vocabulary is missing or damaged."""
    data = VOCABULARY.read_bytes() if VOCABULARY.is_file() else b""
    if hashlib.sha256(data).hexdigest() != VOCABULARY_SHA256:
        raise RuntimeError(f"the vocabulary {VOCABULARY.name} is missing or damaged")
    # A token in base64 and its rank on each line; the ranks are 0, 1, 2 …
    tokens = map(a2b_base64, data.split()[::2])
    ranks = {token: rank for rank, token in enumerate(tokens)}
    import tiktoken  # noqa: PLC0415 - only a process that counts may pay for it

    return tiktoken.Encoding("o200k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
