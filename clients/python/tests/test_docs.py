"""The blocks of the documents run as they stand."""

import json
import subprocess
from pathlib import Path

import pytest

from kata_context import Client
from tests import snippets
from tests.conftest import ROOT, Stack


def test_five_minutes_for_python(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "docs/clients/python.md")


def test_five_minutes_for_pydantic_ai(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "docs/clients/pydantic-ai.md")


def test_the_snippets_of_the_api_reference(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "scripts/openapi/texts/snippets.md")


def test_the_snippet_of_the_playground(stack: Stack, tmp_path: Path) -> None:
    with Client(stack.url) as kata:
        context_id = kata.create_context()["id"]
    query = {"budget": "0300", "keepRequest": "true", "clearToolResults": "off", "step": "20", "at": "0"}
    code = f"""
        const {{ snippets }} = await import({json.dumps(str(ROOT / "public/playground/snippets.js"))});
        console.log(snippets({json.dumps(stack.url)}, "{context_id}", {json.dumps(query)}, true).Python);
    """
    made = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
    document = tmp_path / "snippet.md"
    document.write_text(f"""
```python
{made.stdout}print(window["budget"], window["policy"]["keepRequest"], window["policy"]["step"])
```
```text
300 True 20
```
""")

    snippets.run(document)
