"""The command: `python -m scripts.openapi`."""

import json

from scripts.openapi.document import document
from scripts.stack.router import ROOT

PATH = ROOT / "public" / "openapi.json"


def main() -> None:
    """The command."""
    PATH.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
