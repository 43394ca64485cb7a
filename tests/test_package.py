"""The package: rooms depend downwards only, imports are cheap, data files are shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "crystalicl_jobflow"
ROOMS = (
    "cli", "flows", "jobs", "builders", "training", "evaluation", "generation", "retrieval",
    "prompts", "text", "schemas",
)  # fmt: skip
NO_JOBFLOW = ("training", "evaluation", "generation", "retrieval", "prompts", "text", "schemas")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "crystalicl_jobflow" and len(parts) > 1 and parts[1] in ROOMS:
        return parts[1]
    return None


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_depends_only_on_rooms_below_it(room: str) -> None:
    allowed = set(ROOMS[ROOMS.index(room) :])
    for path in (SOURCE / room).rglob("*.py"):
        above = {room_of(module) for module in imported(path)} - {None} - allowed
        assert not above, f"{path.relative_to(ROOT)} imports from {sorted(above)}"


@pytest.mark.parametrize("room", NO_JOBFLOW)
def test_the_science_does_not_know_jobflow(room: str) -> None:
    for path in (SOURCE / room).rglob("*.py"):
        heads = {module.split(".")[0] for module in imported(path)}
        assert "jobflow" not in heads, path.relative_to(ROOT)


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, crystalicl_jobflow;"
        "print(sorted({'torch', 'pymatgen', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_is_installed() -> None:
    scripts = metadata.entry_points(group="console_scripts", name="crystalicl")
    assert [script.value for script in scripts] == ["crystalicl_jobflow.cli:main"]


def test_types_and_tables_are_shipped() -> None:
    package = resources.files("crystalicl_jobflow")
    assert (package / "py.typed").is_file()
    assert (package / "text" / "data" / "space_groups.json").is_file()


def requirement_names(items: list[str]) -> set[str]:
    names = {re.split(r"[\[<>=!~ ;]", item, maxsplit=1)[0] for item in items}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names} - {"crystalicl-jobflow"}


def test_constraints_pin_every_dependency_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.\-]+==[\w.]+", pin) for pin in pins)
    extras = project["optional-dependencies"]
    tested = [*project["dependencies"]]
    for extra in ("training", "mp", "remote", "fireworks", "test", "dev"):
        tested += extras[extra]
    assert requirement_names(tested) <= requirement_names(pins)


def test_nothing_of_the_repository_is_too_large() -> None:
    files = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    weights = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    assert weights <= 40e6
