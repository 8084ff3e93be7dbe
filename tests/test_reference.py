"""The API reference and llms.txt are fresh, whole and harmless, and the code in them runs."""

import json
import os
import re
import subprocess
from copy import deepcopy
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.openapi import examples
from scripts.openapi.__main__ import files
from scripts.openapi.document import document
from scripts.openapi.members import prose
from scripts.openapi.reference import Reference, operations
from scripts.openapi.snippets import curl, shown, snippets

DOCUMENT = document()
OPERATIONS = operations(DOCUMENT)
ROOT = Path(__file__).parents[1]
LLMS = (ROOT / "public" / "llms.txt").read_text()

# In every text that the document may have.
HOSTILE = "</code></pre><img src=x onerror='alert(1)'><script>\"&`**"


class Page(HTMLParser):
    """What is in a page: its elements with their attributes, its ids, its links, and the text behind each id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {"": ""}
        self.feed(html)
        self.ids = [value for _, attributes in self.elements if (value := attributes.get("id"))]
        self.links = [value for name, attributes in self.elements if name == "a" and (value := attributes["href"])]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if name := dict(attrs).get("id"):
            self.texts[name] = ""

    def handle_data(self, data: str) -> None:
        last = next(reversed(self.texts))
        self.texts[last] += data


HTML = (ROOT / "public" / "docs" / "index.html").read_text()
PAGE = Page(HTML)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_committed_file_is_the_generated_one(path: Path) -> None:
    assert path.read_text() == files()[path], "run python -m scripts.openapi"


class TestPage:
    def test_has_every_operation_with_its_path_and_code_in_three_languages(self) -> None:
        for name, operation in OPERATIONS.items():
            text = PAGE.texts[name]
            assert operation["summary"] in text
            assert f"{operation['method'].upper()} {operation['path']}" in text
            assert all(code in text for code in (curl(operation), snippets()[name]["python"], snippets()[name]["ts"]))

    def test_has_every_parameter_member_answer_and_header(self) -> None:
        for name, operation in OPERATIONS.items():
            section = HTML[HTML.index(f"id={name}>") :].partition("<section")[0]
            wanted = [f"<code>{parameter['name']}</code>" for parameter in operation["parameters"]]
            wanted += [f"<code>{status}</code>" for status in operation["responses"]]
            assert [each for each in wanted if each not in section] == []
        for name, schema in DOCUMENT["components"]["schemas"].items():
            section = re.split("<h[234]|<section", HTML[HTML.index(f"id=schema-{name}>") :])[0]
            assert [each for each in schema.get("properties", ()) if f"<code>{each}</code>" not in section] == []

    def test_has_an_anchor_for_every_operation_schema_header_and_problem(self) -> None:
        components = DOCUMENT["components"]
        wanted = {*OPERATIONS, *(tag["name"].lower() for tag in DOCUMENT["tags"])}
        wanted |= {f"schema-{name}" for name in components["schemas"]}
        wanted |= {f"header-{name}" for name in components["headers"]}
        wanted |= {f"problem-{code}" for code in components["examples"]}

        assert wanted - {*PAGE.ids} == set()
        assert len(PAGE.ids) == len({*PAGE.ids})

    def test_has_every_example_of_a_request_and_an_answer(self) -> None:
        text = "".join(PAGE.texts.values())
        for named in examples.ANSWERS.values():
            assert all(shown(value) in text for _, value in named.values())
        for named in examples.REQUESTS.values():
            assert all(shown(value, 2) in text for _, value in named.values())

    def test_leads_nowhere_that_is_not_there(self, api: httpx.Client) -> None:
        assert [link for link in PAGE.links if link[0] not in "#/"] == []
        assert {link[1:] for link in PAGE.links if link.startswith("#")} - {*PAGE.ids} == set()
        for link in {link for link in PAGE.links if link.startswith("/")}:
            assert api.get(link).status_code == 200, link

    def test_has_no_script_no_style_of_its_own_and_nothing_from_elsewhere(self) -> None:
        assert {name for name, _ in PAGE.elements} & {"script", "style", "iframe", "img", "base", "form"} == set()
        for name, attributes in PAGE.elements:
            assert [each for each in attributes if each == "style" or each.startswith("on")] == [], name
            assert name == "a" or attributes.get("href", "/")[0] == "/", attributes  # type: ignore[index] # never empty

    def test_has_headings_in_order(self) -> None:
        levels = [int(name[1]) for name, _ in PAGE.elements if re.fullmatch("h[1-6]", name)]

        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))

    def test_is_small(self) -> None:
        assert len(HTML.encode()) < 250_000


class TestRenderer:
    def test_escapes_whatever_a_document_says(self) -> None:
        def poisoned(value: Any, key: str = "") -> Any:
            if isinstance(value, dict):
                return {name: poisoned(member, name) for name, member in value.items()}
            if isinstance(value, list):
                return [poisoned(member, key) for member in value]
            kept = {"$ref", "operationId", "tags"}
            return value + HOSTILE if isinstance(value, str) and key not in kept else value

        hostile = {**poisoned(DOCUMENT), "tags": deepcopy(DOCUMENT["tags"])}
        hostile["tags"][0]["description"] += HOSTILE

        page = Page(Reference(hostile).page())

        assert {name for name, _ in page.elements} == {name for name, _ in PAGE.elements}
        assert page.ids == PAGE.ids
        assert "".join(page.texts.values()).count("<script>") > 500

    @pytest.mark.parametrize(
        ("text", "html"),
        [
            ("one\n\ntwo", "<p>one</p>\n<p>two</p>"),
            ("* `a`: b\n* c", "<ul><li><code>a</code>: b<li>c</ul>"),
            ("a **strong** word, `co**de**`", "<p>a <strong>strong</strong> word, <code>co**de**</code></p>"),
            ("`<b>` & **<i>**", "<p><code>&lt;b&gt;</code> &amp; <strong>&lt;i&gt;</strong></p>"),
            ("2 * 3 * 4, a ** b", "<p>2 * 3 * 4, a ** b</p>"),
        ],
    )
    def test_knows_paragraphs_lists_code_and_strong(self, text: str, html: str) -> None:
        assert prose(text) == html

    def test_quotes_bodies_and_queries_for_a_shell(self) -> None:
        body = {"content": 'it\'s $HOME, `id` and "\\" \n ü', "long": ["x" * 90, {"a": [1, None, True]}]}
        content = {"application/json": {"examples": {"one": {"summary": '?a=$(id)`"x', "value": body}}}}
        operation = {"method": "get", "path": "/x", "responses": {"200": {"content": content}}}

        assert curl(operation) == 'curl "$KATA/x?a=%24%28id%29%60%22x"'
        operation = {"method": "post", "path": "/x", "requestBody": {"content": content}}
        command = f'curl() {{ printf %s "${{@: -1}}"; }}\n{curl(operation)}'
        printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
        assert json.loads(printed) == body


class TestCode:
    def test_of_curl_is_a_conversation_that_succeeds(self, api: httpx.Client) -> None:
        external_id = examples.NEW["externalId"]
        for context in api.get("/api/v1/contexts", params={"externalId": external_id}).json()["data"]:
            api.delete(f"/api/v1/contexts/{context['id']}")
        _, *names = snippets()
        assert {*names} == {*OPERATIONS}
        context_id = ""
        for name in names:
            answers = run(curl(OPERATIONS[name]), api, CONTEXT=context_id)
            if name == "createContext":
                context_id = answers[0]["data"]["id"]
            assert len(answers) == len(re.findall("^curl ", curl(OPERATIONS[name]), re.MULTILINE)), name

        assert api.get(f"/api/v1/contexts/{context_id}").status_code == 404

    def test_of_llms_txt_is_a_loop_that_succeeds(self, api: httpx.Client) -> None:
        [code] = re.findall(r"^```sh\n(.*?)^```$", LLMS, re.DOTALL | re.MULTILINE)

        _, window, _ = run(code, api)

        assert window["data"] == {"messages": [{"role": "user", "content": "Where is my order?"}]}


def run(code: str, api: httpx.Client, **variables: str) -> list[Any]:
    """The answers that a script prints; it fails where one is no success."""
    header = api.headers.get("authorization")
    key = f"-H 'Authorization: {header}'" if header else ""
    script = f'set -eo pipefail\ncurl() {{ command curl --fail-with-body -sS {key} "$@"; }}\n{code}'
    environment = {**os.environ, **variables, "KATA": str(api.base_url).rstrip("/")}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answers, rest = [], done.stdout.strip()
    while rest:
        answer, end = json.JSONDecoder().raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].strip()
    return answers


class TestLlmsTxt:
    def test_has_the_shape_of_llmstxt_org(self) -> None:
        title, _, quote = LLMS.splitlines()[:3]

        assert title == "# Kata Context"
        assert quote.startswith("> ")
        lists = re.split(r"^## .+$", LLMS, flags=re.MULTILINE)[1:]
        assert all(
            re.fullmatch(r"- \[[^]]+\]\(/[^)]+\): .+", line) for part in lists for line in part.split("\n") if line
        )

    def test_names_every_operation_format_and_status_of_a_problem(self) -> None:
        problems = [example["value"] for example in DOCUMENT["components"]["examples"].values()]

        assert re.findall(r"^- \[(\w+)\]\(/docs#\1\)", LLMS, re.MULTILINE) == list(OPERATIONS)
        assert [each for each in DOCUMENT["components"]["schemas"]["Format"]["enum"] if f"`{each}`" not in LLMS] == []
        assert {problem["status"] for problem in problems} - {
            int(each) for each in re.findall(r"\b\d{3}\b", LLMS)
        } == set()

    def test_leads_to_what_is_there(self, api: httpx.Client) -> None:
        for path, _, anchor in re.findall(r"\((/[^)#]*)(#(.+?))?\)", LLMS):
            answer = api.get(path)
            assert answer.status_code == 200, path
            assert not anchor or anchor in Page(answer.text).ids
        assert api.get("/llms.txt").text == LLMS
