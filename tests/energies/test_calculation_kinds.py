"""What an output is of: only structure optimisations are relaxations, whatever else is there."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import (
    calculation_kind,
    read_relaxation,
    read_relaxation_chain,
    same_cell,
)
from crystalicl_jobflow.energies.calculation_kinds import OPTIMIZATION, TASK_TYPES

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def task(task_type: str | None, run_type: str = "GGA", energy: float = -3.37, **fields) -> dict:
    structure = fields.pop("structure", SALT)
    return {
        "@module": "emmet.core.tasks", "@class": "TaskDoc", "task_type": task_type,
        "run_type": run_type, "state": "successful",
        "output": {"structure": structure.as_dict(), "energy_per_atom": energy}, **fields,
    }  # fmt: skip


def potential(*, steps: int | None = 500, energy: float = -3.67, **given) -> dict:
    settings = {"steps": steps, "relax_cell": True, "relax_shape": False, "relax_kwargs": {},
                "optimizer_kwargs": {}, **given}  # fmt: skip
    return {
        "@module": "atomate2.forcefields.schemas", "@class": "ForceFieldTaskDocument",
        "forcefield_name": "MLFF.CHGNet", "forcefield_version": "0.4.2", "input": settings,
        "state": "successful", "is_force_converged": True,
        "output": {"structure": SALT.as_dict(), "energy_per_atom": energy, "n_steps": 9},
    }  # fmt: skip


def test_the_types_are_those_of_emmet():
    enums = pytest.importorskip("emmet.core.vasp.calc_types.enums")
    assert {item.value for item in enums.TaskType} < set(TASK_TYPES)


@pytest.mark.parametrize(
    "task_type", ["NSCF Line", "NSCF Uniform", "Static", "Deformation", "Molecular Dynamics",
                  "DFPT Dielectric", "Unrecognized"],
)  # fmt: skip
def test_vasp_jobs_that_do_not_relax_are_no_relaxations(task_type):
    assert calculation_kind(task(task_type)).task_type == task_type
    found = read_relaxation("a", task(task_type))
    assert (found.failure_reason, found.counts) == ("not_a_relaxation", False)
    assert found.energy_per_atom is None
    assert f"'{task_type}' (VASP GGA)" in found.failure_message


def test_type_and_functional_come_from_the_calc_type_where_nothing_else_says_them():
    kind = calculation_kind(
        {"@module": "emmet.core.tasks", "@class": "TaskDoc", "calc_type": "HSE06 Static"}
    )
    assert (kind.task_type, kind.functional, kind.method) == ("Static", "HSE06", "VASP HSE06")
    assert not calculation_kind({**task(None), "task_type": None}).is_optimization


def test_a_relaxation_of_a_strained_cell_is_of_that_cell():
    strained = {"history": [{"@class": "DeformStructureTransformation"}]}
    assert calculation_kind(task(OPTIMIZATION, transformations=strained)).task_type == "Deformation"


def test_emmets_documents_in_memory_are_read_alike():
    tasks = pytest.importorskip("emmet.core.tasks")
    document = tasks.TaskDoc.from_structure(
        meta_structure=SALT, structure=SALT, calcs_reversed=[], run_type="PBE+U",
        task_type="NSCF Line", state="successful",
    )  # fmt: skip
    kind = calculation_kind(document)
    assert (kind.task_type, kind.level, kind.method) == ("NSCF Line", "dft", "VASP PBE+U")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, OPTIMIZATION),
        ({"steps": 1, "relax_cell": False}, "Static"),
        ({"steps": None}, "Static"),
        ({"relax_cell": False}, "Deformation"),
        ({"relax_cell": False, "relax_shape": True}, "Unrecognized"),
        ({"relax_kwargs": None, "optimizer_kwargs": None}, "Molecular Dynamics"),
    ],
)
def test_force_fields_show_by_their_settings_what_they_did(settings, kind):
    found = calculation_kind(potential(**settings))
    assert (found.task_type, found.level) == (kind, "forcefield")
    assert found.method == "MLFF.CHGNet 0.4.2"


def test_nothing_is_called_vasp_that_does_not_say_so():
    elastic = {"@module": "atomate2.common.schemas.elastic", "@class": "ElasticDocument",
               "structure": SALT.as_dict()}  # fmt: skip
    assert calculation_kind(elastic).task_type == "ElasticDocument"
    for output in (None, [1], "x", {}, {"E0": 1.0}, SALT.as_dict(), SALT):
        kind = calculation_kind(output)
        assert (kind.task_type, kind.level, kind.method) == ("", "", "")
    cp2k = {"@module": "atomate2.cp2k.schemas.task", "@class": "TaskDocument",
            "task_type": OPTIMIZATION, "run_type": "PBE"}  # fmt: skip
    assert calculation_kind(cp2k).method == "CP2K PBE"


class TestStatic:
    """A static calculation counts for the cell that was relaxed, by the same functional."""

    def test_of_the_relaxed_cell(self):
        found = read_relaxation_chain(
            "a", [task(OPTIMIZATION), task("Static", energy=-3.40)], source_uuid="static"
        )
        assert (found.energy_per_atom, found.task_type, found.counts) == (-3.40, "Static", True)
        assert found.corrected_energy_per_atom == pytest.approx(-3.40 - 0.307, abs=1e-6)
        assert (found.method, found.source_uuid) == ("VASP GGA", "static")

    def test_pbe_by_its_two_names_is_one_functional(self):
        found = read_relaxation_chain("a", [task(OPTIMIZATION), task("Static", "PBE", -3.4)])
        assert found.energy_per_atom == -3.4

    @pytest.mark.parametrize(
        "last",
        [
            task("Static", "HSE06", -4.5),
            task("Static", structure=SALT.copy().apply_strain(0.005, inplace=False)),
            task("Static", structure=SALT * (2, 1, 1)),
            task("Static", state="failed"),
        ],
        ids=["another functional", "a strained cell", "a supercell", "not converged"],
    )
    def test_of_anything_else_it_does_not(self, last):
        found = read_relaxation_chain("a", [task(OPTIMIZATION), last])
        assert (found.failure_reason, found.energy_per_atom) == ("not_a_relaxation", None)

    def test_the_last_relaxation_before_it_counts(self):
        other = SALT.copy().apply_strain(0.02, inplace=False)
        chain = [task(OPTIMIZATION, structure=other), None, task(OPTIMIZATION), task("Static")]
        assert read_relaxation_chain("a", chain).counts
        assert not read_relaxation_chain("a", [chain[2], chain[0], chain[3]]).counts


class TestSameCell:
    def test_order_of_atoms_and_orientation_do_not_matter(self):
        turned = Structure(
            Lattice.from_parameters(*SALT.lattice.parameters),
            [site.specie for site in reversed(SALT.sites)],
            SALT.frac_coords[::-1] + np.array([1, 0, -1]),
        )
        assert same_cell(SALT, turned)

    @pytest.mark.parametrize("change", ["moved", "exchanged", "sheared"])
    def test_small_changes_make_another_cell(self, change):
        other = SALT.copy()
        if change == "moved":  # as for phonons
            other.translate_sites([0], [0.01, 0, 0], frac_coords=False)
        elif change == "exchanged":
            other[0], other[4] = "Cl", "Na"
        else:
            other = Structure(
                Lattice.from_parameters(5.69, 5.69, 5.69, 90, 90, 90.29),
                other.species, other.frac_coords,
            )  # fmt: skip
        assert not same_cell(SALT, other)
