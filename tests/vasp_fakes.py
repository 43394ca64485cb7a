"""VASP played by atomate2's own fakes: inputs are written and checked, outputs made up."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from jobflow import CURRENT_JOB, Maker
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Poscar

MP_SETTINGS = {"ENCUT": 520, "EDIFF": None, "ISIF": 3, "IBRION": 2, "NSW": 99}
"""INCAR settings of the Materials Project's GGA relaxations; None: not compared."""

STRAIN = -0.01
"""What the fake VASP does to a cell, at each run."""


def with_potcar_spec(maker: Maker) -> Maker:
    """Return the Maker as a user without POTCARs sets it: inputs with POTCAR.spec."""
    from atomate2.vasp.jobs.base import BaseVaspMaker

    return maker.update_kwargs(
        {
            "_set": {
                "write_input_set_kwargs->potcar_spec": True,
                # the second run would read gap and magnetic moments of a real vasprun.xml
                "write_input_set_kwargs->from_prev": False,
            }
        },
        class_filter=BaseVaspMaker,
        dict_mod=True,
    )


class FakeVasp:
    """Plays VASP; keeps what each run was given.

    Parameters
    ----------
    energies
        Reduced formula → energy in eV/atom, as VASP would give it.
    fails, unconverged
        Parts of names of jobs that crash, or end without having converged.
    """

    def __init__(
        self,
        energies: Mapping[str, float],
        *,
        fails: tuple[str, ...] = (),
        unconverged: tuple[str, ...] = (),
        settings: Mapping[str, Any] = MP_SETTINGS,
    ) -> None:
        self.energies = energies
        self.fails = fails
        self.unconverged = unconverged
        self.settings = {name: value for name, value in settings.items() if value is not None}
        self.runs: dict[str, Structure] = {}

    def run(self, **_: Any) -> None:
        """Stand for ``run_vasp``: check the inputs, leave the outputs."""
        from atomate2.utils.testing.vasp import fake_run_vasp

        name = CURRENT_JOB.job.name
        if any(part in name for part in self.fails):
            raise RuntimeError("VASP crashed: no output")
        structure = Poscar.from_file("POSCAR").structure
        self.runs[name] = structure.copy()
        with TemporaryDirectory() as folder:
            for part in ("inputs", "outputs"):
                (Path(folder) / part).mkdir()
            Incar(self.settings).write_file(Path(folder) / "inputs" / "INCAR")
            shutil.copy("KPOINTS", Path(folder) / "inputs")
            shutil.copy("POSCAR", Path(folder) / "inputs")
            symbols = [site.symbol for site in structure.composition.elements]
            spec = Path("POTCAR.spec").read_text(encoding="utf-8").split()
            assert [item.split("_")[0] for item in spec] == symbols
            shutil.copy("POTCAR.spec", Path(folder) / "inputs")
            structure.apply_strain(STRAIN)
            Poscar(structure).write_file(Path(folder) / "outputs" / "CONTCAR")
            for file in ("OUTCAR", "vasprun.xml", "WAVECAR", "CHGCAR"):
                (Path(folder) / "outputs" / file).write_text("made up\n", encoding="utf-8")
            fake_run_vasp(Path(folder), incar_settings=list(self.settings), clear_inputs=False)

    def document(self, path: Path | str, **_: Any) -> Any:
        """Stand for ``get_vasp_task_document``: read the outputs."""
        from emmet.core.tasks import OutputDoc, TaskDoc
        from emmet.core.vasp.calc_types import task_type

        structure = Poscar.from_file(Path(path) / "CONTCAR").structure
        energy = self.energies[structure.composition.reduced_formula]
        name = CURRENT_JOB.job.name
        stopped = any(part in name for part in self.unconverged)
        return TaskDoc.from_structure(
            meta_structure=structure,
            structure=structure,
            dir_name=f"{socket.gethostname()}:{Path(path).resolve()}",
            calcs_reversed=[],
            run_type="GGA",
            task_type=task_type({"incar": dict(Incar.from_file(Path(path) / "INCAR"))}),
            state="failed" if stopped else "successful",
            output=OutputDoc(
                structure=structure,
                energy=energy * len(structure),
                energy_per_atom=energy,
                forces=[[0.0, 0.0, 0.0]] * len(structure),
            ),
        )

    @contextmanager
    def plays(self) -> Iterator[FakeVasp]:
        """Put this in VASP's place, at the points that atomate2 documents."""
        base = pytest.importorskip("atomate2.vasp.jobs.base")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(base, "run_vasp", self.run)
            patch.setattr(base, "get_vasp_task_document", self.document)
            yield self
