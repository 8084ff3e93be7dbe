"""The layers: which module may import which (design: api -> web and repositories -> models, errors)."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What each module of lib/ may import of lib/, and no more.
ARROWS = {
    "__init__": set(),
    "web.__init__": {"web.answers", "web.application", "web.requests"},
    "errors": set(),
    "config": {"errors"},
    "jsontext": {"errors"},
    "tokens": set(),
    "models": {"errors"},
    "queries": {"errors", "jsontext", "models"},
    "shapes": {"formats.history", "models"},
    "contexts": {"errors", "models"},
    "lists": {"contexts", "errors", "models"},
    "messages": {"errors", "models"},
    "compactions": {"errors", "models"},
    "forks": {"contexts", "errors", "models"},
    "batches": {"errors", "models"},
    "formats.__init__": {"batches", "formats", "formats.conversion", "models", "windows"},
    "formats.conversion": {
        "batches",
        "errors",
        "formats.history",
        "formats.reading",
        "jsontext",
        "models",
        "windows",
    },
    "formats.history": {"formats", "formats.parts", "jsontext", "models", "runs"},
    "formats.parts": {"errors", "jsontext"},
    "formats.reading": {"errors", "formats.parts", "jsontext", "models"},
    **{
        f"formats.{name}": {"formats.history", "formats.parts", "formats.reading", "jsontext"}
        for name in ("openai_chat", "openai_responses", "anthropic", "gemini", "ai_sdk")
    },
    "runs": set(),
    "windows": {"errors", "messages", "models", "runs"},
    "health": set(),
    "db": {"config", "errors"},
    "web.requests": {"errors", "jsontext", "models", "queries"},
    "web.answers": {"errors", "models"},
    "web.log": {"web.answers", "web.requests"},
    "web.application": {"config", "db", "errors", "web", "web.answers", "web.requests"},
}

# The rooms of scripts/, and what each may import of the others; a command is any file beside them.
ROOMS = {
    "statements": set(),
    "migrate": {"statements"},
    "stack": {"migrate"},
    "commands": {"migrate", "stack"},
    "bench": {"migrate", "stack", "commands"},
    "chaos": {"migrate", "stack", "commands"},
}

# Modules that decide: pure, without I/O of their own.
FORMATS = {path.relative_to(ROOT / "lib").with_suffix("").as_posix() for path in (ROOT / "lib/formats").glob("*.py")}
PURE = {"errors", "batches", "jsontext", "models", "queries", "runs", *FORMATS}


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
    for path in (ROOT / "lib").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "lib").with_suffix("").parts)
        ours = {name.removeprefix("lib.") for name in imports(path) if name.startswith("lib.")}
        assert ours <= ARROWS[name], name


def test_repositories_know_nothing_of_http_config_or_the_pool() -> None:
    for name in ("contexts", "lists", "messages", "windows", "compactions", "forks", "health"):
        assert not imports(ROOT / "lib" / f"{name}.py") & {"lib.web", "lib.config", "lib.db", "psycopg_pool", "http"}


def test_what_decides_does_no_io() -> None:
    for name in PURE:
        assert not imports(ROOT / "lib" / f"{name}.py") & {"psycopg", "psycopg_pool", "socket", "os", "asyncio"}


def test_no_endpoint_pays_for_the_shapes_of_answers() -> None:
    for folder in ("lib", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "lib.shapes" not in imports(path), path


def test_formats_are_imported_where_they_are_asked_for_alone() -> None:
    for folder in ("lib", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.parent.name != "formats" and path.stem != "shapes":
                assert not any(name.startswith("lib.formats.") for name in imports(path)), path


def test_endpoints_are_thin() -> None:
    for path in (ROOT / "api").rglob("*.py"):
        assert not imports(path) & {"psycopg", "psycopg_pool", "pydantic", "tiktoken", "scripts"}, path
        assert len(path.read_text().splitlines()) < 75, path


def test_the_map_names_every_module() -> None:
    for room in (ROOT / "lib", ROOT / "lib" / "web", ROOT / "lib" / "formats"):
        text = (room / "__init__.py").read_text()
        for path in room.glob("*.py"):
            assert path.stem == "__init__" or f"\n{path.stem} " in text, path


def test_migrations_need_nothing_but_psycopg() -> None:
    assert imports(ROOT / "scripts" / "migrate.py") - sys.stdlib_module_names == {"psycopg", "scripts"}
    assert "from scripts.statements import " in (ROOT / "scripts" / "migrate.py").read_text()
    assert imports(ROOT / "scripts" / "statements.py") <= sys.stdlib_module_names


def room(module: str) -> str:
    """The room of `scripts.…`."""
    name = module.split(".")[1]
    return name if name in ROOMS else "commands"


def rooms_imported(path: Path) -> set[str]:
    """The rooms of scripts/ that a file imports from, at any depth."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {room(module) for module in modules if module.startswith("scripts.")}


def test_rooms_of_scripts_import_only_what_lies_below_them() -> None:
    for path in (ROOT / "scripts").rglob("*.py"):
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        assert rooms_imported(path) <= ROOMS[own] | {own}, path


def test_nothing_that_is_deployed_imports_scripts() -> None:
    for folder in ("lib", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not rooms_imported(path), path


def test_each_room_of_scripts_has_a_map_that_names_every_module() -> None:
    for file in (ROOT / "scripts").rglob("__init__.py"):
        text = file.read_text()
        modules = {path.stem for path in file.parent.glob("*.py")} - {"__init__"}
        modules |= {path.parent.name for path in file.parent.glob("*/__init__.py")}
        for module in modules:
            assert f"\n{module} " in text, f"{file}: {module}"
