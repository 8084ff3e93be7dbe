"""The documents do not lie: their commands are run, and what they show and name is compared with what is there.

In README.md and docs/, a block marked `sh` is run, all of a file's in one shell and in order, and so is one marked
`python`, as a program of its own that has what the shell exports; the `json`, `http` or `text` block behind it is what
it prints, and without one it prints nothing. A block marked `bash` needs an account or does not end, and is not run.
One marked `py` stands in a file of examples/, which tests of its own run.
Ids and times are compared by where they occur again, what is measured not at all.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import indent
from typing import Any

import httpx
import pytest

from lib import config, errors
from lib.errors import Problem

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
API = ROOT / "docs" / "api.md"
FIGURES = ROOT / "docs" / "figures.md"
OPERATIONS = ROOT / "docs" / "operations.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md")), CONTRIBUTING]

# Lines: what a newcomer reads to the end.
MAX_README_LINES = 250

# The headers that vercel.json puts on every answer, which documents leave out of the heads that they show.
SETTINGS = json.loads((ROOT / "vercel.json").read_text())
ADDED = {f"{header['key']}: {header['value']}".lower() for rule in SETTINGS["headers"] for header in rule["headers"]}

RUN = {"sh", "python"}

SERVER = "http://127.0.0.1:3000"
PYTHON = ".venv/bin/python"

# A path, with the class of a test behind it. What has no such ending is one only below a folder that is there.
PATH = re.compile(
    r"[\w.\[\]-]+(/[\w.\[\]-]+)*(?P<ending>\.(md|py|sql|toml|json|jsonl|yml|txt|example))(::\w+)?|[\w.-]+(/[\w.\[\]-]+)+/?"
)

# Their blocks are run by the tests of the clients.
CLIENTS = sorted((ROOT / "docs/clients").glob("*.md"))

each_text = pytest.mark.parametrize("document", [*DOCUMENTS, *CLIENTS], ids=lambda document: document.name)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text and the line that it starts on."""

    language: str
    text: str
    line: int


FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path) -> list[Block]:
    text = document.read_text()
    return [Block(found[2], found[3], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)]


def commands(document: Path) -> list[tuple[Block, Block | None]]:
    """Each block that is run, with the one that shows what it prints."""
    following = pairwise([*blocks(document), None])
    return [
        (block, shown if shown and shown.language in {"json", "http", "text"} else None)
        for block, shown in following
        if block and block.language in RUN
    ]


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", document.read_text())


def code(document: Path) -> list[str]:
    """The spans of code in a document's prose and tables."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def anchors(text: str, level: str = "#+") -> list[str]:
    """What links to the headings of text say behind their #, by GitHub's rule."""
    headings = re.findall(rf"^{level} (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def rows(document: Path, heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is this one."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", document.read_text(), re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


# --- What the commands print

VOLATILE = re.compile(
    r"(?P<name>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r'|(?<=dur=)[\d.]+|(?<="latencyMs": )[\d.]+|(?<=\d\.)\d{16}(?=")'
    r'|(?<="pgvector": ")[\d.]+|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT'
)


class Stable:
    """Puts numbers in place of ids and times, the same for the same one, and a word for what is measured."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        def stand_in(found: re.Match[str]) -> str:
            name = found["name"]
            return self.names.setdefault(name, f"name {len(self.names) + 1}") if name else "0"

        return VOLATILE.sub(stand_in, text)


def parsed(text: str, language: str) -> Any:
    """What is compared of a block: the value of JSON, the lines of a head and the value of its body."""
    if language == "json":
        return json.loads(text)
    if language == "http":
        head, _, body = text.strip().partition("\n\n")
        return sorted(line for line in head.lower().splitlines() if line not in ADDED), json.loads(body or "null")
    return [line.rstrip() for line in text.strip().splitlines()]


def run(document: Path, url: str) -> list[str]:
    """What each block of commands prints."""
    end = "--- end of block ---"

    def typed(block: Block) -> str:
        return block.text if block.language == "sh" else f"{PYTHON} - <<'{end}'\n{block.text}{end}\n"

    script = "".join(f"{typed(block)}printf '\\n{end}\\n'\n" for block, _ in commands(document))
    shell = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script.replace(SERVER, url).replace(PYTHON, f"'{sys.executable}'"),
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    return shell.stdout.replace("\r\n", "\n").replace(url, SERVER).split(f"\n{end}\n")[:-1]


class TestCommands:
    @each_document
    def test_print_what_is_shown(self, document: Path, url: str) -> None:
        in_document, in_truth = Stable(), Stable()

        for (block, shown), printed in zip(commands(document), run(document, url), strict=True):
            place = f"{document.name}, line {block.line}"
            language = shown.language if shown else "text"
            try:
                expected = parsed(in_document(shown.text) if shown else "", language)
                actual = parsed(in_truth(printed), language)
            except ValueError:
                pytest.fail(f"{place}: not {language}: {printed}")
            assert expected == actual, place

    @each_document
    def test_that_call_the_server_are_all_run(self, document: Path) -> None:
        unrun = [block for block in blocks(document) if block.language not in RUN]

        assert [block.line for block in unrun if "curl" in block.text and SERVER in block.text] == []

    @each_document
    def test_of_examples_are_as_they_stand_there(self, document: Path) -> None:
        examples = [file.read_text() for file in (ROOT / "examples").glob("*.py")]
        quoted = [block for block in blocks(document) if block.language == "py"]

        assert [
            block.line for block in quoted if not any(indent(block.text, "    ") in text for text in examples)
        ] == []

    @each_document
    def test_stand_before_every_response(self, document: Path) -> None:
        shown = [block.line for block in blocks(document) if block.language not in {*RUN, "bash", "py"}]

        assert shown == [shown.line for _, shown in commands(document) if shown]


class TestNames:
    @each_text
    def test_of_make_targets_are_in_the_makefile(self, document: Path) -> None:
        texts = [*code(document), *(block.text for block in blocks(document))]
        named = {target for text in texts for target in re.findall(r"\bmake ([a-z]+)", text)}
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

        assert sorted(named - targets) == []

    @each_text
    def test_of_files_and_test_classes_are_in_the_tree(self, document: Path) -> None:
        folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
        made = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}

        def exists(span: str) -> bool:
            path, _, name = span.partition("::")
            file = ROOT / path
            return file.exists() and (not name or f"\nclass {name}:" in file.read_text())

        named = [(span, found) for span in code(document) if (found := PATH.fullmatch(span))]
        ours = [span for span, found in named if found["ending"] or span.split("/")[0] in folders]
        assert [span for span in ours if span.split("/")[0] not in made and not exists(span)] == []

    @each_text
    def test_of_links_are_of_files_and_headings(self, document: Path) -> None:
        missing = []
        for link in re.findall(r"\]\(([^):]+)\)", prose(document)):
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            if not target.exists() or (anchor and anchor not in anchors(prose(target))):
                missing.append(link)

        assert missing == []

    @each_document
    def test_of_contents_are_of_every_section_behind_them(self, document: Path) -> None:
        _, contents, behind = prose(document).partition("\nContents: ")
        listed = re.findall(r"\]\(#([^)]+)\)", behind.partition("\n\n")[0])

        assert contents or document == CONTRIBUTING
        assert listed == anchors(behind, "##")

    def test_of_documents_are_all_in_the_readme(self) -> None:
        linked = {(ROOT / link.partition("#")[0]) for link in re.findall(r"\]\(([^):]+)\)", prose(README))}

        assert [document.name for document in [*DOCUMENTS, *CLIENTS] if document not in {README, *linked}] == []

    def test_of_the_layout_are_all_folders(self) -> None:
        made = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
        folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}

        assert set(re.findall(r"^    (\w+)/ ", prose(README), re.MULTILINE)) == folders - made

    def test_of_scripts_are_commands_that_explain_themselves(self) -> None:
        texts = "".join(document.read_text() for document in DOCUMENTS)
        scripts = sorted(set(re.findall(r"-m (scripts\.\w+)", texts)))
        helps = {
            script: subprocess.run(
                [sys.executable, "-m", script, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            for script in scripts
        }

        assert {script: answer.returncode for script, answer in helps.items()} == dict.fromkeys(scripts, 0)
        assert [script for script, answer in helps.items() if f"python -m {script}" not in answer.stdout] == []


class TestReadme:
    def test_is_short_enough_to_be_read_to_its_end(self) -> None:
        assert len(README.read_text().splitlines()) <= MAX_README_LINES


class TestTables:
    def test_of_endpoints_has_every_endpoint_and_no_other(self, api: httpx.Client) -> None:
        documented: dict[str, set[str]] = {}
        for call, _ in rows(API, "call"):
            method, path = call.split("`")[1].split()
            documented.setdefault(path, {"OPTIONS"}).add(method)
            if method == "GET":
                documented[path].add("HEAD")

        served = {}
        for file in (ROOT / "api").rglob("*.py"):
            path = "/" + str(file.relative_to(ROOT).with_suffix("")).removesuffix("/index")
            path = path.replace("[", "{").replace("]", "}")
            allow = api.options(path.replace("{id}", "00000000-0000-4000-8000-000000000000")).headers.get("allow")
            if path != "/api/not_found":
                served[path] = set((allow or "").split(", "))

        assert documented == served

    def test_of_errors_has_every_code_with_its_status(self) -> None:
        def kinds(of: type[Problem]) -> list[type[Problem]]:
            return [kind for child in of.__subclasses__() for kind in (child, *kinds(child))]

        raised = [kind for kind in kinds(Problem) if not kind.__subclasses__()]
        raised += [errors.VersionConflict, errors.InvalidRequest]

        assert {code: int(status) for code, status, _ in rows(API, "code")} == {
            f"`{kind.code}`": kind.status for kind in raised
        }

    def test_of_variables_has_every_variable_with_its_default(self) -> None:
        assert rows(README, "variable") == [
            [f"`{variable.name}`", variable.default and f"`{variable.default}`", variable.meaning]
            for variable in config.VARIABLES
        ]

    def test_of_rates_is_the_same_in_the_readme_and_beside_the_other_figures(self) -> None:
        rates = rows(FIGURES, "requests per second")

        assert [row for row in rows(README, "requests per second") if row not in rates] == []

    def test_of_the_log_has_every_field(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        httpx.get(f"{url}/api/health", headers={"x-request-id": "of-this-test"})

        # It is written before the answer.
        [line] = [line for line in capsys.readouterr().out.splitlines() if "of-this-test" in line]

        documented = [field.strip("`") for field, _ in rows(OPERATIONS, "field")]
        assert documented == [*json.loads(line), "failure"]
