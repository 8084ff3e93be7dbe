"""The command: `python -m scripts.openapi`."""

import argparse
import json
from pathlib import Path

from scripts.openapi import llms
from scripts.openapi.document import document
from scripts.openapi.reference import Reference
from scripts.stack.router import ROOT

PATH = ROOT / "public" / "openapi.json"


def files() -> dict[Path, str]:
    """What is published of the document, by where it is."""
    made = document()
    return {
        PATH: json.dumps(made, indent=2, ensure_ascii=False) + "\n",
        ROOT / "public" / "docs" / "index.html": Reference(made).page(),
        ROOT / "public" / "llms.txt": llms.text(made),
    }


def main() -> None:
    """The command."""
    about = "Writes openapi.json, llms.txt and the API reference into public/."
    argparse.ArgumentParser(prog="python -m scripts.openapi", description=about).parse_args()
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
