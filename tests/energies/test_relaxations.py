"""Relaxations of other programs: read as they are, judged, put on one scale."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.energies.references import ElementalReferences
from crystalicl_jobflow.energies.relaxation_outputs import read_relaxation
from crystalicl_jobflow.energies.relaxations import hull_energies, judge_relaxation
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
VOLUME = SALT.volume / len(SALT)
CSCL_TYPE = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def vasp(run_type: str = "GGA", energy: float = -3.37, **fields) -> dict:
    return {
        "run_type": run_type,
        "task_type": "Structure Optimization",
        "state": "successful",
        "dir_name": "cluster:/scratch/1",
        "output": {"structure": SALT.as_dict(), "energy_per_atom": energy},
        **fields,
    }


def force_field(name: str = "MLFF.CHGNet", **fields) -> dict:
    return {
        "forcefield_name": name,
        "forcefield_version": "0.4.2",
        "output": {"structure": SALT.as_dict(), "energy_per_atom": -3.67, "n_steps": 9},
        **fields,
    }


class TestReading:
    @pytest.mark.parametrize(
        ("forces", "state", "converged"),
        [
            (True, "successful", True),
            (True, "failed", False),  # the cell did not
            (False, "successful", False),
            (None, "successful", True),
            (None, "TaskState.FAILED", False),
            (True, None, True),
            (None, None, None),
        ],
    )
    def test_converged_is_what_forces_and_state_both_say(self, forces, state, converged):
        found = read_relaxation("a", force_field(is_force_converged=forces, state=state))
        assert found.converged is converged
        assert found.failure_reason == ("not_converged" if converged is False else None)
        assert found.counts is (converged is not False)

    def test_a_vasp_document(self):
        found = read_relaxation("a", vasp(), source_uuid="job")
        assert (found.level, found.method, found.dir_name) == (
            "dft",
            "VASP GGA",
            "cluster:/scratch/1",
        )
        assert found.source_uuid == "job"
        assert found.energy_per_atom == -3.37
        # MP2020: -0.614 eV for each Cl of a chloride
        assert found.corrected_energy_per_atom == pytest.approx(-3.37 - 0.307, abs=1e-6)

    @pytest.mark.parametrize("run_type", ["r2SCAN", "PBEsol", "None"])
    def test_other_functionals_get_no_correction(self, run_type):
        assert read_relaxation("a", vasp(run_type)).corrected_energy_per_atom is None

    def test_transition_metals_of_oxides_are_corrected_too(self):
        hematite = Structure.from_spacegroup(
            "R-3c", Lattice.hexagonal(5.09, 13.8), ["Fe", "O"],
            [[0, 0, 0.355], [0.306, 0, 0.25]],
        )  # fmt: skip
        hubbards = {"hubbards": {"Fe": 5.3, "O": 0.0}, "is_hubbard": True, "run_type": "GGA+U"}
        document = vasp("GGA+U", energy=-6.7, entry={"parameters": hubbards})
        document["output"]["structure"] = hematite.as_dict()
        found = read_relaxation("a", document)
        # MP2020: -2.256 eV for each Fe and -0.687 eV for each O
        shift = (2 * -2.256 + 3 * -0.687) / 5
        assert found.corrected_energy_per_atom == pytest.approx(-6.7 + shift, abs=1e-3)
        # without U the same run is not on that scale
        plain = {**hubbards, "hubbards": {}, "is_hubbard": False, "run_type": "GGA"}
        document |= {"run_type": "GGA", "entry": {"parameters": plain}}
        assert read_relaxation("a", document).corrected_energy_per_atom is None

    def test_documents_of_atomate2_themselves(self):
        tasks = pytest.importorskip("emmet.core.tasks")
        document = tasks.TaskDoc.from_structure(
            meta_structure=SALT,
            structure=SALT,
            calcs_reversed=[],
            run_type="GGA+U",
            task_type="Structure Optimization",
            state="successful",
            output=tasks.OutputDoc(
                structure=SALT, energy=-26.96, energy_per_atom=-3.37, forces=[[0, 0, 0]] * 8
            ),
        )
        found = read_relaxation("a", document)
        assert (found.structure, found.energy_per_atom) == (SALT, -3.37)
        assert (found.method, found.converged) == ("VASP GGA+U", True)
        assert found.corrected_energy_per_atom == pytest.approx(-3.677, abs=1e-6)

    def test_nothing_is_a_failure_that_names_the_job(self):
        found = read_relaxation("a", None, failed_level="dft", source_uuid="job-7")
        assert (found.level, found.converged, found.failure_reason) == ("dft", False, "failed")
        assert "job-7" in found.failure_message
        assert not found.counts


class TestJudging:
    def relaxation(self, **fields) -> CandidateRelaxation:
        return CandidateRelaxation(
            **{"candidate_id": "a", "structure": SALT, "energy_per_atom": -3.0,
               "converged": True, **fields}
        )  # fmt: skip

    def test_a_good_one_stays(self):
        good = self.relaxation()
        assert judge_relaxation(good, VOLUME) is good

    @pytest.mark.parametrize("energy", [math.nan, math.inf, None])
    def test_an_energy_must_be_a_number(self, energy):
        found = judge_relaxation(self.relaxation(energy_per_atom=energy), VOLUME)
        assert found.failure_reason == "model_failed"

    @pytest.mark.parametrize(("strain", "failure"), [(0.5, "fell_apart"), (0.1, None)])
    def test_a_crystal_must_stay_one(self, strain, failure):
        swollen = SALT.copy()
        swollen.apply_strain(strain)
        found = judge_relaxation(self.relaxation(structure=swollen), VOLUME)
        assert found.failure_reason == failure

    def test_the_first_reason_is_kept(self):
        failed = self.relaxation(failure_reason="not_converged", energy_per_atom=None)
        assert judge_relaxation(failed, VOLUME) is failed


class TestHull:
    KNOWN = CrystalData(
        ["rival"], [CSCL_TYPE], [{"formation_energy_per_atom": -1.9}], name="rivals"
    )
    FORMATION = -3.37 - 0.307 - (-1.32253 - 1.84854) / 2

    def test_vasp_on_the_scale_of_the_materials_project(self):
        (found,), words = hull_energies([read_relaxation("a", vasp())], known=self.KNOWN)
        # the Materials Project gives rock salt -2.1 eV/atom
        assert found.formation_energy_per_atom == pytest.approx(self.FORMATION, abs=1e-4)
        assert found.formation_energy_per_atom == pytest.approx(-2.1, abs=0.05)
        assert found.energy_above_hull == pytest.approx(self.FORMATION + 1.9, abs=1e-4)
        assert "VASP GGA(+U) MP2020, references mp" in words
        assert "1 entries" in words

    def test_a_hull_without_competitors_says_so(self):
        lonely = CrystalData(
            ["Si"], [Structure(Lattice.cubic(5), ["Si"], [[0, 0, 0]])],
            [{"formation_energy_per_atom": 0.0}],
        )  # fmt: skip
        (found,), words = hull_energies([read_relaxation("a", vasp())], known=lonely)
        assert found.formation_energy_per_atom == pytest.approx(self.FORMATION, abs=1e-4)
        assert found.energy_above_hull is None
        assert found.no_hull_reason == "no competing phase of Na-Cl in the reference set"
        assert f"1 not judged: {found.no_hull_reason}" in words
        (found,), words = hull_energies([read_relaxation("a", vasp())], known=self.KNOWN)
        assert found.no_hull_reason is None
        assert "judged" not in words

    def test_without_known_crystals_there_is_no_hull(self):
        (found,), words = hull_energies([read_relaxation("a", vasp())])
        assert found.formation_energy_per_atom is not None
        assert found.energy_above_hull is None
        assert found.no_hull_reason == "no known crystals to compare with"
        assert "hull:" not in words

    @pytest.mark.parametrize(
        ("known", "said"),
        [
            (CrystalData(["x"], [CSCL_TYPE], [{}], name="bare"), "bare have no formation_energy"),
            ("nowhere.csv", "no hull: "),
        ],
    )
    def test_a_hull_that_cannot_be_had_costs_no_relaxation(self, known, said):
        (found,), words = hull_energies([read_relaxation("a", vasp())], known=known)
        assert found.formation_energy_per_atom is not None
        assert found.energy_above_hull is None
        assert found.no_hull_reason.startswith("no hull: ")
        assert said in words

    def test_another_functional_needs_references_of_its_own(self, tmp_path):
        given = read_relaxation("a", vasp("r2SCAN", energy=-9.0))
        (found,), words = hull_energies([given], known=self.KNOWN)
        assert found.formation_energy_per_atom is None
        assert found.no_hull_reason.startswith("energies of VASP r2SCAN are not on the scale of")
        assert "1 without, by VASP r2SCAN" in words
        path = tmp_path / "elements.json"
        ElementalReferences("own", "VASP", "r2SCAN", {"Na": -6.0, "Cl": -8.0}).save(path)
        (found,), words = hull_energies([given], references=str(path))
        assert found.formation_energy_per_atom == pytest.approx(-2.0)
        assert "VASP r2SCAN, references own" in words

    def test_energies_of_two_methods_are_never_on_one_scale(self, tmp_path):
        path = tmp_path / "elements.json"
        ElementalReferences("own", "VASP", "r2SCAN", {"Na": -6.0, "Cl": -8.0}).save(path)
        given = [read_relaxation("a", vasp("r2SCAN", energy=-9.0)), read_relaxation("b", vasp())]
        for order in (given, given[::-1]):
            found, words = hull_energies(order, references=str(path))
            energies = {item.candidate_id: item.formation_energy_per_atom for item in found}
            assert energies == {"a": pytest.approx(-2.0), "b": None}
            (other,) = (item for item in found if item.candidate_id == "b")
            assert other.no_hull_reason.startswith("VASP GGA is not on the scale of VASP r2SCAN")
            assert "1 without, by VASP GGA" in words

    def test_the_relaxation_says_which_corrections_its_formation_energy_has(self):
        (found,), _ = hull_energies([read_relaxation("a", vasp())])
        assert (found.method, found.functional, found.corrections) == ("VASP GGA", "GGA", "MP2020")

    def test_a_force_field_without_a_known_model(self):
        (found,), words = hull_energies([read_relaxation("a", force_field("MLFF.GAP"))])
        assert found.formation_energy_per_atom is None
        assert words == "none: no energy model is known for GAP"

    def test_chgnet_gives_the_known_crystals_their_energies(self):
        pytest.importorskip("chgnet")
        (found,), words = hull_energies([read_relaxation("a", force_field())], known=self.KNOWN)
        # rock salt lies below caesium chloride's structure
        assert -0.3 < found.energy_above_hull < -0.01
        assert "chgnet 0.3.0" in words

    def test_a_crystal_found_again_lies_on_the_hull_of_relaxed_ones(self):
        pytest.importorskip("chgnet")
        (ours,) = load_energy_model("chgnet").relax([SALT])
        output = {
            "structure": ours.structure.as_dict(),
            "energy_per_atom": ours.energy_per_atom,
            "n_steps": 9,
        }
        given = read_relaxation("a", force_field(output=output))
        wider = SALT.copy()
        wider.scale_lattice(SALT.volume * 1.1)  # another method's minimum, exaggerated
        known = CrystalData(["other-salt"], [wider], [{}])
        (found,), words = hull_energies([given], known=known)
        assert found.energy_above_hull < -0.01
        assert not words.endswith("relaxed")
        (found,), words = hull_energies([given], known=known, relax_known=True)
        assert found.energy_above_hull == pytest.approx(0, abs=0.002)
        assert words.endswith("relaxed")

    def test_failed_ones_pass_through(self):
        failed = read_relaxation("a", None)
        assert hull_energies([failed], known=self.KNOWN) == ([failed], "nothing to compare")
        (first, second), _ = hull_energies([failed, read_relaxation("b", vasp())])
        assert first is failed
        assert second.formation_energy_per_atom is not None
