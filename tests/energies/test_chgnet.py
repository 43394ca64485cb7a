"""CHGNet itself: energies, relaxations, and every way in which a crystal can be none."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import (
    EnergyFailure,
    EnergyModel,
    assess_energies,
    load_energy_model,
    load_predictor,
    load_references,
)

pytest.importorskip("chgnet", reason="CHGNet needs the extra forcefields")


@pytest.fixture(scope="module")
def chgnet() -> EnergyModel:
    return load_energy_model("chgnet")


@pytest.fixture
def silicon() -> Structure:
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]])


def test_name_and_version(chgnet: EnergyModel) -> None:
    assert isinstance(chgnet, EnergyModel)
    assert (chgnet.name, chgnet.version) == ("chgnet", "0.3.0")


def test_its_energies_are_corrected_ones(
    chgnet: EnergyModel, silicon: Structure, nacl: Structure
) -> None:
    """Of the Materials Project: Si -5.42 eV/atom; NaCl -3.39, and with MP2020's -0.614 eV
    for every Cl of a chloride -3.69."""
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    plain = -3.39
    entry = ComputedStructureEntry(
        nacl,
        plain * len(nacl),
        parameters={"run_type": "GGA", "hubbards": {}, "potcar_symbols": ["PAW Na_pv", "PAW Cl"]},
    )
    corrected = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    assert corrected is not None
    assert corrected.energy_per_atom == pytest.approx(plain - 0.614 / 2, abs=1e-3)
    first, second = chgnet.energies([silicon, nacl])
    assert first.energy_per_atom == pytest.approx(-5.42, abs=0.15)
    assert second.energy_per_atom == pytest.approx(corrected.energy_per_atom, abs=0.05)


def test_formation_energy_of_rock_salt(chgnet: EnergyModel, nacl: Structure) -> None:
    """Measured: -411.1 kJ/mol, that is -2.13 eV/atom; PBE gives -1.79 before MP's correction."""
    (item,) = assess_energies([nacl], model=chgnet, relax=True)
    assert item.converged
    assert item.formation_energy_per_atom == pytest.approx(-2.1, abs=0.1)


def test_batches_give_what_single_crystals_give(
    chgnet: EnergyModel, silicon: Structure, nacl: Structure, cscl: Structure
) -> None:
    together = chgnet.energies([silicon, None, nacl, cscl])
    alone = [chgnet.energies([item])[0] for item in (silicon, None, nacl, cscl)]
    for one, other in zip(together, alone, strict=True):
        assert one.failure == other.failure
        expected = other.energy_per_atom
        assert one.energy_per_atom == (
            None if expected is None else pytest.approx(expected, abs=1e-5)
        )


def test_crystals_with_many_bonds_are_evaluated_apart(
    chgnet: Any, silicon: Structure, nacl: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    crystals = [nacl * (2, 1, 1), silicon, None, nacl * (2, 2, 1), silicon]
    expected = [item.energy_per_atom for item in chgnet.energies(crystals)]
    sizes: list[int] = []
    evaluate = chgnet.network.predict_graph

    def counted(graphs: list[Any], **options: Any) -> Any:
        sizes.append(sum(len(graph.atom_graph) + len(graph.bond_graph) for graph in graphs))
        return evaluate(graphs, **options)

    limit = 2 * len(chgnet.network.graph_converter(silicon).atom_graph)
    monkeypatch.setattr("crystalicl_jobflow.energies.chgnet.MAX_GRAPH_SIZE", limit)
    monkeypatch.setattr(chgnet.network, "predict_graph", counted)
    told: list[tuple[int, int]] = []
    found = chgnet.energies(crystals, progress=lambda done, of: told.append((done, of)))
    assert [item.energy_per_atom for item in found] == [
        None if value is None else pytest.approx(value, abs=1e-5) for value in expected
    ]
    assert len(sizes) > 2
    assert told[-1] == (5, 5)


def crystal(species: Any, *, a: float = 5.0, x: float = 0.5) -> Structure:
    return Structure(Lattice.cubic(a), species, [[0, 0, 0], [x, x, x]])


@pytest.mark.parametrize(
    ("structure", "failure"),
    [
        (None, EnergyFailure.NO_STRUCTURE),
        (crystal([{"Cu": 0.5, "Au": 0.5}, "Cu"]), EnergyFailure.DISORDERED),
        (crystal(["Cm", "O"]), EnergyFailure.UNSUPPORTED_ELEMENT),
        (crystal(["Na", "Cl"], x=0.02), EnergyFailure.ATOMS_OVERLAP),
        (crystal(["Na", "Cl"], a=1.2), EnergyFailure.ATOMS_OVERLAP),
        (crystal(["Na", "Cl"], a=25), EnergyFailure.ISOLATED_ATOM),
    ],
    ids=lambda item: str(item) if isinstance(item, EnergyFailure) else "",
)
def test_a_crystal_that_has_no_energy_has_a_reason(
    chgnet: EnergyModel, nacl: Structure, structure: Structure | None, failure: EnergyFailure
) -> None:
    for answers in (
        chgnet.energies([structure, nacl]),
        chgnet.relax([structure, nacl], max_steps=1),
    ):
        assert answers[0].failure == failure
        assert answers[0].energy_per_atom is None
        assert answers[0].message
        assert answers[0].message.endswith(".")
        # the next crystal has its energy all the same
        assert answers[1].energy_per_atom == pytest.approx(-3.7, abs=0.1)


def test_relaxing_lowers_the_energy_and_finds_the_cell(
    chgnet: EnergyModel, nacl: Structure
) -> None:
    stretched = nacl.copy()
    stretched.scale_lattice(nacl.volume * 1.15)
    before = chgnet.energies([stretched])[0].energy_per_atom
    (found,) = chgnet.relax([stretched], fmax=0.03)
    assert found.converged
    assert found.failure is None
    assert found.structure is not None
    assert found.energy_per_atom is not None
    assert before is not None
    assert found.energy_per_atom < before
    assert found.structure.lattice.a == pytest.approx(5.69, abs=0.1)
    assert found.max_force is not None
    assert found.max_force < 0.03
    # what was given is as it was
    assert stretched.volume == pytest.approx(nacl.volume * 1.15)


def test_an_unconverged_relaxation_says_so(chgnet: EnergyModel, nacl: Structure) -> None:
    nacl.scale_lattice(nacl.volume * 1.15)
    (found,) = chgnet.relax([nacl], max_steps=1, fmax=0.01)
    assert not found.converged
    assert found.failure == EnergyFailure.NOT_CONVERGED
    assert found.structure is not None
    assert found.energy_per_atom is not None


def test_torch_keeps_its_threads(chgnet: EnergyModel, silicon: Structure) -> None:
    import torch

    before = torch.get_num_threads()
    chgnet.energies([silicon])
    assert torch.get_num_threads() == before


def test_progress_reaches_the_end(chgnet: EnergyModel, silicon: Structure) -> None:
    seen: list[tuple[int, int]] = []
    chgnet.energies([silicon] * 3, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (3, 3)


def test_the_predictor_gives_formation_energies(nacl: Structure) -> None:
    predictor = load_predictor("formation_energy_per_atom", "chgnet")
    assert (predictor.name, predictor.version) == ("chgnet", "0.3.0 references mp")
    value, nothing = predictor.predict([nacl, None])
    assert value == pytest.approx(-2.1, abs=0.1)
    assert nothing is None


def test_other_weights_of_the_wheel() -> None:
    model = load_energy_model("chgnet:r2scan")
    assert model.version == "r2scan"
    with pytest.raises(ValueError, match=r"weights 0.3.0, 0.2.0, r2scan, not '9'"):
        load_energy_model("chgnet:9")


def test_without_chgnet_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("chgnet"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install \"crystalicl-jobflow\[forcefields\]\""):
        load_energy_model("chgnet")
    # and the default predictor is the next one, which needs nothing
    assert load_predictor("formation_energy_per_atom").name == "trees"


def test_formation_energies_of_real_crystals(chgnet: EnergyModel, shared_data: Any) -> None:
    """The measured error on all rows is 0.024 eV/atom; a sample of 32 stays near it."""
    from crystalicl_jobflow.datasets.crystal_data import read_data_set

    name = "formation_energy_per_atom"
    data = read_data_set(shared_data / "mp_20_test.csv.gz", required=[name], limit=32, seed=1)
    assessed = assess_energies(
        data.structures, model=chgnet, references=load_references(chgnet, "mp")
    )
    errors = [
        item.formation_energy_per_atom - values[name]
        for item, values in zip(assessed, data.properties, strict=True)
        if item.formation_energy_per_atom is not None
    ]
    assert len(errors) == 32
    assert np.abs(errors).mean() < 0.06
