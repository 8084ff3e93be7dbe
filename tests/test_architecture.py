"""The layers: which module may import which (design: api -> web and repositories -> models, errors)."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What each module of lib/ may import of lib/, and no more.
ARROWS = {
    "errors": set(),
    "config": {"errors"},
    "jsontext": {"errors"},
    "tokens": set(),
    "models": {"errors", "jsontext"},
    "contexts": {"errors", "models"},
    "messages": {"errors", "models"},
    "windows": {"errors", "messages"},
    "health": set(),
    "db": {"config", "errors"},
    "web": {"config", "db", "errors", "jsontext", "models"},
}

# Modules that decide: pure, without I/O of their own.
PURE = {"errors", "jsontext", "models"}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at any depth: `lib.x` for ours, the top-level name for others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "lib":
            found |= {f"lib.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name if name.startswith("lib.") else name.partition(".")[0] for name in found}


def test_modules_of_lib_import_only_what_their_layer_may() -> None:
    for path in (ROOT / "lib").glob("*.py"):
        if path.stem != "__init__":
            ours = {name.removeprefix("lib.") for name in imports(path) if name.startswith("lib.")}
            assert ours <= ARROWS[path.stem], path.stem


def test_repositories_know_nothing_of_http_config_or_the_pool() -> None:
    for name in ("contexts", "messages", "windows", "health"):
        assert not imports(ROOT / "lib" / f"{name}.py") & {"lib.web", "lib.config", "lib.db", "psycopg_pool", "http"}


def test_what_decides_does_no_io() -> None:
    for name in PURE:
        assert not imports(ROOT / "lib" / f"{name}.py") & {"psycopg", "psycopg_pool", "socket", "os", "asyncio"}


def test_endpoints_are_thin() -> None:
    for path in (ROOT / "api").rglob("*.py"):
        assert not imports(path) & {"psycopg", "psycopg_pool", "pydantic", "tiktoken", "scripts"}, path
        assert len(path.read_text().splitlines()) < 75, path


def test_the_map_names_every_module() -> None:
    text = (ROOT / "lib" / "__init__.py").read_text()

    for path in (ROOT / "lib").glob("*.py"):
        assert path.stem == "__init__" or f"\n{path.stem} " in text, path.stem


def test_migrations_need_nothing_but_psycopg() -> None:
    assert imports(ROOT / "scripts" / "migrate.py") - sys.stdlib_module_names == {"psycopg", "scripts"}
    assert "from scripts.statements import " in (ROOT / "scripts" / "migrate.py").read_text()
    assert imports(ROOT / "scripts" / "statements.py") <= sys.stdlib_module_names
