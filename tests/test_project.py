"""The project's files agree with each other and with the platform's rules."""

import json
import subprocess
import tomllib
from pathlib import Path

from lib import __version__, config

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return sorted(line for line in lines if line and not line.startswith(("#", "-r")))


def test_vercel_and_developers_install_the_same_exact_versions() -> None:
    """Vercel reads [project].dependencies and, where they are missing, installs nothing and says nothing."""
    assert sorted(PROJECT["dependencies"]) == requirements("requirements.txt")
    assert all("==" in line for line in requirements("requirements.txt") + requirements("requirements-dev.txt"))


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_there_are_no_more_functions_than_a_hobby_deployment_may_have() -> None:
    assert len(list((ROOT / "api").rglob("*.py"))) <= 12


def test_no_function_carries_what_is_not_its_own() -> None:
    """Whatever is in the repository and not left out by vercel.json goes into every function."""
    settings = json.loads((ROOT / "vercel.json").read_text())["functions"]["api/**/*.py"]["excludeFiles"]
    excluded, ending = settings.removeprefix("{").split("}", 1)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    own = {"api", "lib", "migrations", "pyproject.toml", "requirements.txt", "vercel.json", ".python-version"}

    assert {line.split("/")[0] for line in listed.splitlines()} - set(excluded.split(",")) == own
    assert ending == "{,/**}"


def test_every_endpoint_is_found_by_vercels_reading_of_the_source() -> None:
    """It looks for `app = …` at the top level and publishes the source of a file without one."""
    for path in (ROOT / "api").rglob("*.py"):
        assert "\napp = endpoint(" in path.read_text(), path


def test_public_exists_lest_the_source_be_published() -> None:
    assert any((ROOT / "public").iterdir())


def test_no_template_ignores_lib() -> None:
    assert "lib/" not in (ROOT / ".gitignore").read_text().split()


def test_vercels_settings_are_those_the_code_relies_on() -> None:
    settings = json.loads((ROOT / "vercel.json").read_text())

    assert settings["framework"] is None
    # Seconds that psycopg waits for a hung database to cancel, beyond the time a request may take.
    assert settings["functions"]["api/**/*.py"]["maxDuration"] > config.MAX_TIMEOUT_MS / 1000 + 10
