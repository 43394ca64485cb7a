"""Models that matgl has saved: MEGNet as a predictor, TensorNet as a potential."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import (
    EnergyFailure,
    EnergyModel,
    load_energy_model,
    load_predictor,
    matgl_models,
    prediction_errors,
)
from crystalicl_jobflow.energies.loading import is_energy_model
from crystalicl_jobflow.energies.matgl_models import load_saved
from crystalicl_jobflow.settings import SETTINGS

EFORM, GAP = "MEGNet-MP-2018.6.1-Eform", "MEGNet-MP-2019.4.1-BandGap-mfi"
TENSORNET = "TensorNet-MatPES-PBE-v2025.1-PES"


@pytest.fixture
def salt() -> Structure:
    lattice = Lattice.cubic(5.6)
    rock_salt = Structure.from_spacegroup("Fm-3m", lattice, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    return rock_salt.get_primitive_structure()


@pytest.fixture
def alone() -> Structure:
    """Return caesium whose atoms are 8 Å apart."""
    return Structure(Lattice.cubic(8), ["Cs"], [[0, 0, 0]])


@pytest.fixture
def radon() -> Structure:
    return Structure(Lattice.cubic(3.5), ["Rn"], [[0, 0, 0]])


class TestMegnet:
    def test_values_and_reasons(
        self, shared_models: Path, salt: Structure, alone: Structure, radon: Structure
    ) -> None:
        """Rock salt's known values: -2.1 eV/atom and 5.0 eV (PBE)."""
        predictor = load_predictor("formation_energy_per_atom", f"megnet:{shared_models / EFORM}")
        assert (predictor.name, predictor.version) == ("megnet", f"{EFORM} (35381368)")
        found = predictor.answers([salt, alone, radon, None])  # type: ignore[attr-defined]
        assert found[0].value == pytest.approx(-1.85, abs=0.02)
        assert [item.value for item in found[1:]] == [None] * 3
        assert "An atom has no neighbour within 4 Å." in found[1].reason
        assert "does not know Rn" in found[2].reason

    def test_a_model_is_found_in_the_folder_of_the_settings(
        self, shared_models: Path, salt: Structure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(SETTINGS, "POTENTIALS", str(shared_models))
        gap = load_predictor("band_gap", "megnet")
        assert gap.version.startswith(GAP)
        assert gap.predict([salt]) == [pytest.approx(4.19, abs=0.02)]

    def test_error_on_unseen_crystals(self, shared_models: Path, shared_data: Path) -> None:
        """Its bias is most of its error, and one number for each anion takes most of it out."""
        from crystalicl_jobflow.datasets.crystal_data import read_data_set
        from crystalicl_jobflow.energies import CorrectedPredictor, fit_correction

        name = "formation_energy_per_atom"
        predictor = load_predictor(name, f"megnet:{shared_models / EFORM}")
        train, test = (
            read_data_set(shared_data / f"mp_20_{part}.csv.gz", required=[name], limit=60, seed=1)
            for part in ("train", "test")
        )
        fitted = fit_correction(
            predictor, train.structures, [values[name] for values in train.properties]
        )
        known = [values[name] for values in test.properties]
        plain, corrected = (
            prediction_errors(name, item.predict(test.structures), known)
            for item in (predictor, CorrectedPredictor(predictor, fitted))
        )
        assert plain.mean is not None
        assert plain.mean > 0.1
        assert plain.mae is not None
        assert corrected.mae is not None
        assert corrected.mae < 0.7 * plain.mae


class TestTensorNet:
    @pytest.fixture(scope="class")
    def model(self, shared_models: Path) -> EnergyModel:
        return load_energy_model(f"matcalc:{shared_models / TENSORNET}")

    def test_rock_salt(
        self, model: EnergyModel, salt: Structure, alone: Structure, radon: Structure
    ) -> None:
        """PBE's rock salt has a = 5.69 Å and -3.39 eV/atom; the stress is in eV/Å³, as in ASE.

        The weights are of TensorNet's version 1, whose embedding summed onto other atoms than
        that of matgl's today: taken as they are they would give 6.4 Å and -2.65 eV/atom.
        """
        assert model.name == f"matcalc:{TENSORNET}"
        assert model.version == f"{TENSORNET} (d2dfa51a)"
        found = model.energies([salt, alone, radon, None])
        assert found[0].energy_per_atom == pytest.approx(-3.36, abs=0.03)
        assert [item.failure for item in found[1:]] == [
            EnergyFailure.ISOLATED_ATOM,
            EnergyFailure.UNSUPPORTED_ELEMENT,
            EnergyFailure.NO_STRUCTURE,
        ]
        # caesium's own metal, in which atoms are 5.3 Å apart, has an energy
        metal = Structure.from_spacegroup("Im-3m", Lattice.cubic(6.16), ["Cs"], [[0, 0, 0]])
        assert model.energies([metal])[0].energy_per_atom == pytest.approx(-0.86, abs=0.15)
        (relaxed,) = model.relax([salt], fmax=0.05)
        assert relaxed.converged
        assert relaxed.structure is not None
        assert relaxed.structure.volume / 2 == pytest.approx(5.69**3 / 8, rel=0.03)

    def test_it_relaxes_candidates_as_a_maker(
        self, shared_models: Path, salt: Structure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("atomate2", reason="Makers need the extra forcefields")
        from crystalicl_jobflow.jobs._relax_makers import check_relax_maker
        from crystalicl_jobflow.jobs._relax_process import relax_structure
        from crystalicl_jobflow.jobs.potential import PotentialRelaxMaker

        monkeypatch.setattr(SETTINGS, "POTENTIALS", str(shared_models))
        maker = PotentialRelaxMaker()
        check_relax_maker(maker)
        found = relax_structure(maker, "one", salt)
        assert found.failure_reason is None, found.failure_message
        assert (found.level, found.method) == ("forcefield", "tensornet-matpes")
        assert is_energy_model(found.method)
        (alone,) = load_energy_model("tensornet-matpes").energies([found.structure])
        assert found.energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-4)

    @pytest.mark.slow
    def test_known_crystals_are_judged_by_the_potential_that_relaxed(
        self, shared_models: Path, salt: Structure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rock salt lies below the hull of its CsCl form; nobody has named the potential."""
        pytest.importorskip("atomate2", reason="Makers need the extra forcefields")
        from crystalicl_jobflow.datasets.crystal_data import CrystalData
        from crystalicl_jobflow.energies import hull_energies
        from crystalicl_jobflow.jobs._relax_process import relax_structure
        from crystalicl_jobflow.jobs.potential import PotentialRelaxMaker

        monkeypatch.setattr(SETTINGS, "POTENTIALS", str(shared_models))
        found = relax_structure(PotentialRelaxMaker(), "one", salt)
        other = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
        (judged,), words = hull_energies([found], known=CrystalData("one", [other], ["b2"], [{}]))
        assert judged.energy_above_hull is not None
        assert -0.2 < judged.energy_above_hull < -0.03
        assert judged.formation_energy_per_atom == pytest.approx(-1.8, abs=0.2)
        assert "tensornet-matpes" in str(words)


class TestWhatIsRefused:
    @pytest.mark.parametrize("file", ["model.json", "model.pt"])
    def test_classes_of_other_packages(
        self, shared_models: Path, tmp_path: Path, file: str
    ) -> None:
        """matgl imports what a model names, and calls it."""
        import torch
        from matgl.data.transformer import Normalizer

        folder = tmp_path / "model"
        shutil.copytree(shared_models / EFORM, folder, copy_function=shutil.copyfile)
        folder.chmod(0o755)
        trap: dict[str, Any] = {"@module": "subprocess", "@class": "Popen", "init_args": {}}
        if file == "model.json":
            document = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps({**document, **trap}))
        else:
            with torch.serialization.safe_globals([Normalizer]):
                inner = torch.load(folder / file, weights_only=True)
            torch.save({**inner, "model": trap}, folder / file)
        with pytest.raises(ValueError, match="names the module subprocess; only matgl's"):
            load_saved(folder)

    def test_weights_of_another_version(self, shared_models: Path, tmp_path: Path) -> None:
        """They would load, and answer something else than they were trained for."""
        folder = tmp_path / "model"
        shutil.copytree(shared_models / EFORM, folder, copy_function=shutil.copyfile)
        folder.chmod(0o755)
        document = json.loads((folder / "model.json").read_text())
        document["kwargs"]["model"]["@model_version"] = 0
        (folder / "model.json").write_text(json.dumps(document))
        with pytest.raises(ValueError, match="saved by version 0 of matgl's MEGNet, and"):
            load_saved(folder)

    def test_pickled_code(self, shared_models: Path, tmp_path: Path) -> None:
        import torch

        class Trap:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "touched",)

        folder = tmp_path / "model"
        shutil.copytree(shared_models / EFORM, folder, copy_function=shutil.copyfile)
        folder.chmod(0o755)
        torch.save({"model": Trap()}, folder / "model.pt")
        with pytest.raises(ValueError, match="model cannot be loaded") as caught:
            load_saved(folder)
        assert not (tmp_path / "touched").exists()
        assert "\n" not in str(caught.value)

    def test_folders_and_names_that_are_none(
        self, shared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ValueError, match=r"no saved model of matgl: model.json, .* missing"):
            load_predictor("band_gap", f"megnet:{tmp_path}")
        with pytest.raises(ValueError, match="there is no such folder"):
            load_energy_model(f"tensornet-matpes:{tmp_path / 'none'}")
        with pytest.raises(ValueError, match="is no potential but a TransformedTargetModel"):
            load_energy_model(f"matcalc:{shared_models / EFORM}")

        def fetch(repository: str) -> Path:
            raise OSError(f"no route\nto {repository}")

        monkeypatch.setattr(matgl_models, "_fetch", fetch)
        with pytest.raises(ValueError, match=r"from the hub \(no route to materialyze/") as caught:
            load_predictor("band_gap", "megnet:no-such-model")
        assert "\n" not in str(caught.value)
        assert "CRYSTALICL_POTENTIALS" in str(caught.value)


def test_names_of_energy_models() -> None:
    names = ["chgnet", "chgnet:r2scan", "matcalc:x", "tensornet-matpes", "tensornet-matpes:/x"]
    assert all(map(is_energy_model, names))
    assert not any(map(is_energy_model, ["trees", "megnet", "matcalc", "matcalc:", "VASP"]))
