"""Other papers' counting rules, each on a set whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all, rate_meaning
from crystalicl_jobflow.schemas import Candidate, Condition
from crystalicl_jobflow.thresholds import MATCH_STOL

Make = Callable[..., Candidate]

NEARLY_CUBIC = "P4/mmm\n4.1 4.1 4.15\n90 90 90\nCs\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
CHARGED = "Pm-3m\n3.4 3.4 3.4\n90 90 90\nHf\n0.00 0.00 0.00\nF\n0.50 0.50 0.50"


def rates(candidates: list[Candidate], *rules: str, **more: object) -> dict[str, tuple[int, int]]:
    evaluation = evaluate_all(candidates, EvaluationOptions(also=rules), **more)  # type: ignore[arg-type]
    assert evaluation.tolerances["counting_rules"] == ", ".join(rules)
    return {name: (rate.count, rate.of) for name, rate in evaluation.rates.items()}


def test_crystals_without_a_twin(make: Make) -> None:
    """Of two rock salts, caesium chloride and a text, one is alone; two are different ones."""
    found = rates([make(NACL), make(CSCL), make(NACL), make("nothing")], "unique-alone")
    assert found["unique"] == (2, 4)
    assert found["unique_alone"] == (1, 4)


def test_whose_validity_gates_a_match(make: Make) -> None:
    """HfF cannot be neutral: it matches its true crystal, which is not valid either."""
    candidates = [make(CSCL), make(CHARGED, request_index=1), make(NACL, request_index=2)]
    truths = [candidates[0].structure, candidates[1].structure, candidates[0].structure]
    found = rates(candidates, "gate-truth", "gate-both", truths=truths)
    assert found["match"] == (2, 3)
    assert found["match_valid"] == (1, 3)
    assert found["match_valid_truth"] == (1, 3)
    assert found["match_valid_both"] == (1, 3)


def test_everything_in_the_reference_is_asked_for(make: Make) -> None:
    """Two rock salts and one caesium chloride of NaCl: a doubled reference counts twice."""
    other = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    rock_salt = make(NACL).structure
    assert rock_salt is not None
    data = CrystalData("three", [rock_salt, rock_salt.copy(), other], list("abc"), [{}] * 3)
    evaluation = evaluate_all(
        [make(NACL), make(FENI)], EvaluationOptions(also=("metre",)), reference=data
    )
    rate = evaluation.rates["metre"]
    assert (rate.count, rate.of) == (2, 3)
    assert evaluation.metrics["metre_rms"] == pytest.approx(MATCH_STOL / 3, abs=1e-6)
    assert (evaluation.rates["polymorphs"].count, evaluation.rates["polymorphs"].of) == (1, 2)


def test_the_tolerance_of_the_group(make: Make) -> None:
    """A cell 0.05 Å too long is cubic at 0.1 Å and not at 0.01 Å."""
    candidate = make(NEARLY_CUBIC, condition=Condition(space_group=221))
    found = rates([candidate, make("nothing")], "symprec=0.1", "symprec=0.01")
    assert found["space_group_at_0.1"] == (1, 1)
    assert found["space_group_at_0.01"] == (0, 1)
    assert found["symmetry_adherence_at_0.01"] == (0, 1)


def test_other_sets_of_oxidation_states(make: Make) -> None:
    """HfF is neutral where hafnium may be +1; alloys of metals always pass."""
    found = rates([make(NACL), make(FENI), make(CHARGED)], "smact=wiki", "smact=icsd16")
    assert found["composition_valid"] == (2, 3)
    assert found["composition_valid_wiki"] == (3, 3)
    assert found["composition_valid_icsd16"] == (2, 3)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("unique", "no counting rule 'unique'; there are unique-alone"),
        ("symprec=", "no counting rule"),
        ("symprec=-1", "a length in Å above 0"),
        ("symprec=nan", "a length in Å above 0"),
        ("smact=icsd99", "SMACT's sets are smact14"),
        ("gate-both", "needs the true crystals"),
        ("metre", "needs true crystals or a reference set"),
        ("metre=3", "no counting rule"),
    ],
)
def test_rules_that_cannot_be_counted(make: Make, rule: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.split(";", maxsplit=1)[0]) as caught:
        evaluate_all([make(NACL)], EvaluationOptions(also=(rule,)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_rates_divide() -> None:
    for name in ("unique_alone", "match_valid_both", "metre", "space_group_at_0.01"):
        assert "/" in str(rate_meaning(name))
    assert "SMACT" in str(rate_meaning("composition_valid_icsd16"))
    assert rate_meaning("composition") is None
