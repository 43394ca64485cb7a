"""What the page says about stability: the crystals that could be judged, and why not the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.energies.relaxations import hull_energies
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_and_judge, write_evaluation
from crystalicl_jobflow.report import build_page, read_run
from crystalicl_jobflow.report.best_candidates import best_candidates
from crystalicl_jobflow.report.sections import distributions, headline, marks
from crystalicl_jobflow.report.stability import stability
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation

from .conftest import write_candidates

RIVAL = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
POTASSIUM = Structure(Lattice.cubic(3.7), ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def known_crystals(structure: Structure) -> CrystalData:
    return CrystalData(["rival"], [structure], [{"formation_energy_per_atom": -1.9}], name="known")


def evaluated(candidates: list[Candidate], known: CrystalData, folder: Path) -> Path:
    """Evaluate relaxations of VASP: rock salt, rutile, failed ones of rock salt and CsCl."""
    # MP2020 and PBE's elements: -3.37 eV/atom is a formation energy of -2.09
    energies = {0: -3.37, 3: -9.0}
    relaxations = [
        CandidateRelaxation(
            candidate_id=candidates[place].candidate_id,
            structure=candidates[place].structure,
            energy_per_atom=energy,
            corrected_energy_per_atom=energy - 0.307,
            converged=True,
            level="dft",
            method="VASP GGA",
        )
        for place, energy in energies.items()
    ]
    relaxations += [
        CandidateRelaxation(
            candidate_id=candidates[place].candidate_id, level="dft", failure_reason="failed"
        )
        for place in (1, 2)
    ]
    found, _ = hull_energies(relaxations, known=known)
    evaluation, judged = evaluate_and_judge(
        candidates, EvaluationOptions(novelty=True), known=known, relaxations=found
    )
    write_evaluation(folder, evaluation)
    write_candidates(folder, judged)
    return folder


def tiles(html: str) -> list[str]:
    found = re.search(r'<ul class="tiles".*?</ul>', html, re.DOTALL)
    assert found
    return [
        " ".join(re.sub(r"<[^>]+>", " ", item).replace("\xa0", " ").split())
        for item in re.findall(r"<li>(.*?)</li>", found[0], re.DOTALL)
    ]


def test_the_headline_is_over_the_crystals_that_could_be_judged(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    run = read_run(evaluated(candidates, known_crystals(RIVAL), tmp_path))
    reason = "no competing phase of Ti-O in the reference set"
    # the failed rock salt has a rival, so it is unstable; nothing competes with the failed CsCl
    assert [run.value(place, "stable") for place in range(4)] == [True, False, None, None]
    assert run.value(3, "no_hull_reason") == reason
    assert run.value(3, "energy_above_hull") is None
    found = stability(run)
    assert found is not None
    assert (found.judged, found.crystals, found.relaxed) == (2, 5, True)
    assert dict(found.reasons)[reason] == 1
    html = build_page(run, top=3)
    shown = next(tile for tile in tiles(html) if " S.U.N." in tile)
    assert shown.startswith("50.0 % S.U.N. 1 of 2 that could be judged")
    assert "2 of 5 crystals could be judged for stability" in html
    assert f"1 ({reason})" in html
    assert f"stability not judged: {reason}" in marks(run, 3)
    assert html.count('<td class="num" data-sort="">not judged</td>') == 3  # rutile, CsCl, Fe-Ni
    plotted = {chart.title: chart.num_generated for chart in distributions(run, None)}
    assert plotted["Energy above the convex hull (eV/atom)"] == 1
    assert plotted["Formation energy per atom (eV/atom)"] == 2


def test_without_competitors_the_page_says_not_judged(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    run = read_run(evaluated(candidates, known_crystals(POTASSIUM), tmp_path))
    assert {run.value(place, "stable") for place in range(len(candidates))} == {None}
    assert "sun" in [row.name for row in headline(run)]
    html = build_page(run, top=3)
    assert "not judged S.U.N. no crystal could be judged" in tiles(html)
    assert "0 of 5 crystals could be judged for stability" in html
    assert "no competing phase of Na-Cl in the reference set" in html
    assert "above the convex hull" not in " ".join(item.title for item in distributions(run, None))
    assert "0.0\xa0% S.U.N." not in html


def test_of_equal_crystals_the_one_that_was_judged_is_shown(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    run = read_run(evaluated(candidates, known_crystals(RIVAL), tmp_path))
    first, second = run.columns[0], run.columns[1]  # the failed rock salt repeats the other
    assert second["duplicate_of"] == first["candidate_id"]
    assert 0 in best_candidates(run, 5)
    verdict = {name: first.pop(name) for name in ("energy_above_hull", "stable", "relaxed")}
    run.candidates[0].properties.clear()
    second |= verdict
    assert 1 in best_candidates(run, 5)
    assert 0 not in best_candidates(run, 5)


def test_a_page_without_energies_does_not_speak_of_stability(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert stability(run) is None
    html = build_page(run, top=0)
    assert "S.U.N." not in html
    assert "could be judged" not in html


def test_what_was_not_relaxed_is_not_called_relaxed(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    run = read_run(evaluated(candidates, known_crystals(RIVAL), tmp_path))
    for row in run.columns:
        row.pop("relaxed", None)  # as an evaluation with energies of the crystals as generated
    html = build_page(run, top=3)
    assert "as they were generated: none was relaxed" in html
    assert any("S.U.N., not relaxed" in tile for tile in tiles(html))
    assert "after relaxation" not in html


@pytest.mark.parametrize("relaxed", [True, False])
def test_an_energy_that_a_relaxation_did_not_reach_is_not_plotted(
    candidates: list[Candidate], tmp_path: Path, relaxed: bool
) -> None:
    run = read_run(evaluated(candidates, known_crystals(RIVAL), tmp_path))
    run.columns[0]["relaxed"] = relaxed
    plotted = [chart.title for chart in distributions(run, None)]
    assert ("Energy above the convex hull (eV/atom)" in plotted) is relaxed
    assert ("its relaxation failed" in marks(run, 0)) is not relaxed
