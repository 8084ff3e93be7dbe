"""Runs the Python blocks of a document, as a reader who pastes them one after another."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from kata_context import Client


def run(document: Path, **names: Any) -> None:
    """Runs each block marked `python` in one namespace, and compares what it prints with a `text` block behind it."""
    namespace: dict[str, Any] = {"__name__": document.stem, **names}
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    printed = ""
    assert "python" in dict(blocks)
    for kind, text in blocks:
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, f"{document.name}: {text[:40]!r}", "exec"), namespace)
            printed = out.getvalue()
        elif kind == "text":
            assert printed == text
    for value in namespace.values():
        if isinstance(value, Client):
            value.close()
