"""The package: rooms depend downwards only, imports are cheap, data files are shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib import import_module, metadata, resources
from pathlib import Path

import grimp
import pytest
import yaml
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import crystalicl_jobflow as package

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "crystalicl_jobflow"


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, crystalicl_jobflow;"
        "print(sorted({'torch', 'pymatgen', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_crystal_waits_for_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys\n"
        "from crystalicl_jobflow import generate\n"
        "from crystalicl_jobflow.crystal.metadata import structure_metadata, symmetry_metadata\n"
        "from crystalicl_jobflow.report import build_crystal_view\n"
        "from pymatgen.core import Lattice, Structure\n"
        "crystal = Structure(Lattice.cubic(4), ['Po'], [[0, 0, 0]])\n"
        "structure_metadata(crystal, symmetry_metadata(None))\n"
        "build_crystal_view(crystal, title='Po')\n"
        "slow = {'torch', 'matplotlib', 'ase', 'emmet', 'smact', 'scipy.stats', 'networkx'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_found_when_they_are_used_and_known_to_type_checkers() -> None:
    assert len(package.__all__) == len(set(package.__all__)) > 15
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {
        alias.asname or alias.name: getattr(import_module(node.module or ""), alias.name)
        for node in imports
        for alias in node.names
    }
    found = {name: getattr(package, name) for name in package.__all__ if name != "__version__"}
    assert found == typed
    with pytest.raises(AttributeError, match="no attribute 'generat'"):
        package.generat  # noqa: B018 (an attribute that does not exist)


def test_rooms_depend_only_on_rooms_below_them() -> None:
    """An unlisted room fails, too, and science that imports jobflow: see pyproject.toml."""
    found = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert found == EXIT_STATUS_SUCCESS


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Counted are the imports within functions, too, and those for type checkers."""
    graph = grimp.build_graph("crystalicl_jobflow", cache_dir=None)
    assert len(graph.modules) > 200
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    circle: list[str] = []
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def test_the_command_is_installed() -> None:
    scripts = metadata.entry_points(group="console_scripts", name="crystalicl")
    assert [script.value for script in scripts] == ["crystalicl_jobflow.cli:main"]


def test_types_and_tables_are_shipped() -> None:
    files = resources.files("crystalicl_jobflow")
    assert (files / "py.typed").is_file()
    assert (files / "crystal" / "data" / "space_groups.json").is_file()


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


def test_version_and_date_are_the_same_wherever_they_stand() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert package.__version__ == metadata.version("crystalicl-jobflow") == project["version"]
    newest = re.search(
        r"^## \[(.+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest is not None
    assert newest.groups() == (citation["version"], citation["date-released"])
    assert citation["version"] == project["version"]


def test_pictures_of_the_documentation_are_small() -> None:
    pictures = sorted((ROOT / "docs").glob("_static/*.*g"))
    assert len(pictures) >= 5
    assert {path.name for path in pictures if path.stat().st_size > 150_000} == set()


def test_nothing_of_the_repository_is_too_large() -> None:
    files = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    weights = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    assert weights <= 40e6
