"""What a release renders of rows that older ones wrote: a file per format, compared exactly.

Where a change of a format is meant, `python -m tests.formats.test_golden` renews what the files expect. The number of
that format in RENDERER (lib/windows.py) must then move too, once a release has it, or clients that ask with an ETag
keep the old window. Rows are never renewed: they stay in databases.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from lib import jsontext
from lib.formats import conversion
from lib.runs import Candidate
from lib.windows import RENDERER
from tests.formats.windowed import FORMATS, window

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Any]:
    """A format's file: the rows of a history, and what is expected of the window of all of them."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def row(version: int, role: str, source: str, answers: tuple[int, str] | None, calls: list[str] | None) -> Candidate:
    call_version, call_id = answers or (None, None)
    return Candidate(version, False, 1, role == "user", call_version, calls, call_id, 1, None, source, None)


def expected(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What this release makes of rows: of each member and each message its text, to the letter."""
    sources = [
        row(version, json.loads(each["source"])[0], each["source"], each.get("answers"), each.get("calls"))
        for version, each in enumerate(rows, 1)
    ]
    rendered = conversion.render(window(sources, name, 1))
    repairs = [[repair["version"], repair["code"], repair["detail"]] for repair in rendered.figures["repairs"]]
    members = jsontext.split(rendered.data)
    data = {key: [*jsontext.split(text).values()] if text.startswith("[") else text for key, text in members.items()}
    return {"renderer": RENDERER[name], "data": data, "repairs": repairs}


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_older_releases_are_rendered_as_ever(name: str) -> None:
    known = golden(name)

    assert expected(name, known["rows"]) == {member: value for member, value in known.items() if member != "rows"}


def renew() -> None:
    """Writes what this release makes of the rows of each file."""
    for name in FORMATS:
        rows = golden(name)["rows"]
        text = json.dumps({"rows": rows, **expected(name, rows)}, ensure_ascii=False, indent=2)
        (FOLDER / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    renew()
