"""What `vercel build` wrote into .vercel/output: functions, static files and routes."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.stack.vercel.config import Route
from scripts.stack.vercel.routes import Routes

# Seconds, where a function names no maxDuration.
MAX_DURATION = 300


@dataclass(frozen=True, slots=True)
class Built:
    """A function as it was built: its files by their path in the task folder, and its settings."""

    name: str
    files: dict[str, Path]
    environment: dict[str, str]
    max_duration: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


class Bundle:
    """The output of `vercel build` in folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / ".vercel" / "output"

    @cached_property
    def functions(self) -> dict[str, Built]:
        """Each function by its path without the leading slash."""
        root = self.output / "functions"
        found = sorted(path.parent for path in root.rglob("*.func/.vc-config.json"))
        return {function.name: function for function in (self._function(root, path) for path in found)}

    def _function(self, root: Path, path: Path) -> Built:
        config = json.loads((path / ".vc-config.json").read_text())
        files = {name: self.folder / source for name, source in config.get("filePathMap", {}).items()}
        own = (file for file in path.rglob("*") if file.is_file() and file.name != ".vc-config.json")
        files |= {str(file.relative_to(path)): file for file in own}
        return Built(
            name=str(path.relative_to(root)).removesuffix(".func"),
            files=files,
            environment=config.get("environment", {}),
            max_duration=config.get("maxDuration", MAX_DURATION),
        )

    @cached_property
    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.output / "config.json").read_text())
        return config

    @cached_property
    def static(self) -> dict[str, Path]:
        """Each static file by its path without the leading slash, and without .html where cleanUrls is set."""
        root = self.output / "static"
        files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
        overrides = self._config.get("overrides", {})
        return {overrides.get(name, {}).get("path", name): path for name, path in files.items()}

    @property
    def generated(self) -> list[Route]:
        """The routes of config.json as they stand there."""
        return list(self._config["routes"])

    @cached_property
    def routes(self) -> Routes:
        """What config.json makes of a path."""
        return Routes(self.generated, {*self.functions, *self.static})
