"""The tables in docs/formats.md are what the renderers do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from lib.formats import history
from tests.formats.windowed import FORMATS, Message, candidates, render, window
from tests.test_readme import rows

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "formats.md"

URL = "https://example.com/a"
PNG = "data:image/png;base64,iVBORw0KGgo="

CALL: Message = {
    "role": "assistant",
    "toolCalls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


def file(**members: str) -> list[dict[str, Any]]:
    return [{"type": "file", "file": members}]


def image(url: str, **members: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url, **members}}]


def user(content: Any) -> list[Message]:
    return [{"role": "user", "content": content}]


def result(content: Any, **metadata: Any) -> list[Message]:
    return [*user("Go."), CALL, {"role": "tool", "toolCallId": "c", "content": content, "metadata": metadata}]


def assistant(content: Any) -> list[Message]:
    return [*user("Go."), {"role": "assistant", "content": content}]


OURS = {
    "a text": user([{"type": "text", "text": "Go."}]),
    "an image by its URL": user(image(f"{URL}.png", detail="low")),
    "an image in base64: JPEG, PNG, GIF or WebP": user(image(PNG)),
    "a PDF in base64": user(file(filename="a", file_data="data:application/pdf;base64,JVBERi0xLjQ=")),
    "a text file in base64": user(file(filename="a", file_data="data:text/csv;base64,eA==")),
    "a file of another type in base64": user(file(filename="a", file_data="data:application/zip;base64,UEs=")),
    "a file by its URL": user(file(file_url=f"{URL}.pdf")),
    "a file by OpenAI's id": user(file(file_id="file-1")),
    "a sound, WAV or MP3": user([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]),
    "a refusal": assistant([{"type": "refusal", "refusal": "No."}]),
    "reasoning": assistant([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Yes."}]),
    "a call": result("Yes."),
    "a result": result("Yes."),
    "a failed result": result("No.", isError=True),
    "an image in a result": result(image(f"{URL}.png")),
    "an image of the assistant's": assistant([{"type": "text", "text": "Here."}, *image(f"{URL}.png")]),
    "a system message first": [{"role": "system", "content": "Be brief."}, *user("Go.")],
    "a later system message": [*user("Go."), {"role": "system", "content": "Be brief."}],
}

# That a call has no signature is of all calls that are not Gemini's own.
EVERYWHERE = {"signature_skipped", "empty_dropped"}


def words(value: Any) -> Iterator[str]:
    """The keys and the texts in a value."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from words(member)
    elif isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, str):
        yield value


class TestTranslations:
    def test_are_of_everything_that_is_named(self) -> None:
        assert [row[0] for row in rows(DOCUMENT, "of ours")] == [*OURS]

    @pytest.mark.parametrize("row", rows(DOCUMENT, "of ours"), ids=lambda row: row[0])
    def test_are_what_is_rendered(self, row: list[str]) -> None:
        ours, *cells = row
        for name, cell in zip(FORMATS, cells, strict=True):
            data, rendered = render(window(candidates(OURS[ours]), name, 1))
            codes = {repair["code"] for repair in rendered.figures["repairs"]}
            said = re.findall(r"`([^`]+)`", cell)
            assert [word for word in said if word not in {*words(data), *codes}] == [], (name, data)
            assert codes - EVERYWHERE <= {*said}, (name, codes)


# What the shared methods of a history note, and what it notes itself.
METHODS = {
    "gathered": {"result_moved"},
    "in_order": {"result_moved"},
    "rename": {"id_changed"},
    "name": {"name_changed"},
    "arguments": {"arguments_wrapped"},
    "arguments_text": {"arguments_wrapped"},
    "pieces": {"reasoning_dropped", "part_dropped"},
    "dropped": {"part_dropped"},
    "detail": {"member_dropped"},
    "unmarked": {"cache_mark_dropped"},
}
ALWAYS = {"call_answered", "result_dropped"}


class TestRepairs:
    def test_have_every_code_and_no_other(self) -> None:
        assert sorted(row[0].strip("`") for row in rows(DOCUMENT, "code")) == sorted(get_args(history.Code.__value__))

    @pytest.mark.parametrize("name", FORMATS)
    def test_are_noted_where_the_table_says(self, name: str) -> None:
        text = (ROOT / "lib" / "formats" / f"{name.replace('-', '_')}.py").read_text()
        noted = {code for method in METHODS if f"history.{method}(" in text for code in METHODS[method]}
        noted |= set(re.findall(r'"(\w+)"', json.dumps(re.findall(r'history\.repair\(\s*[\w.]+,\s*"(\w+)"', text))))

        column = 2 + FORMATS.index(name)
        said = {row[0].strip("`") for row in rows(DOCUMENT, "code") if row[column] == "yes"}
        assert said == noted | ALWAYS
