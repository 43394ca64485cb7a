"""Stand-ins for what tutorials use and the continuous integration does not have."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from doc_pages import Programs
from vasp_fakes import FakeVasp


def _perovskite(a_site: str, b_site: str, length: float) -> Structure:
    return Structure(
        Lattice.cubic(length),
        [a_site, b_site, "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


class RecordedProject:
    """An ``MPRester`` that answers a search with three crystals, in the fields asked for."""

    def __init__(self) -> None:
        self.materials = self
        self.summary = self

    def search(self, *, fields: list[str], **criteria: Any) -> list[dict[str, Any]]:
        """Return the crystals; a criterion that mp-api does not know is refused as there."""
        from inspect import signature

        from mp_api.client.routes.materials.summary import SummaryRester

        signature(SummaryRester.search).bind(None, **criteria)
        answers = []
        crystals = (("Ca", "Ti", 3.9), ("Sr", "Ti", 3.94), ("Ba", "Ti", 4.03))
        for number, (a_site, b_site, length) in enumerate(crystals):
            known = {
                "material_id": f"mp-{number + 1}",
                "structure": _perovskite(a_site, b_site, length),
                "formation_energy_per_atom": -3.5,
                "energy_above_hull": 0.01 * number,
                "band_gap": 2.0,
                "last_updated": datetime(2024, 5, 6, tzinfo=UTC),
            }
            answers.append({name: known[name] for name in fields})
        return answers


def materials_project(monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Answer searches in the Materials Project from a recording, without network or key."""
    from crystalicl_jobflow.datasets import materials_project as project

    monkeypatch.setattr(project, "_open_rester", RecordedProject)
    return {}


def mongodb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client of a MongoDB server find one server that is played in this process."""
    import fireworks.core.launchpad
    import maggma.stores.gridfs
    import maggma.stores.mongolike
    import mongomock_ng
    from mongomock_ng.gridfs import enable_gridfs_integration
    from mongomock_ng.store import ServerStore

    from crystalicl_jobflow.candidates import blobs

    enable_gridfs_integration()
    server = ServerStore()

    class Client(mongomock_ng.MongoClient):
        """A client that leaves the server's data in place when it is closed."""

        def close(self) -> None:
            """Do nothing."""

    def client(host: Any = None, port: Any = None, **_: Any) -> Any:
        return Client("db.example.org", 27017, _store=server)

    for module in (fireworks.core.launchpad, maggma.stores.gridfs, maggma.stores.mongolike, blobs):
        if hasattr(module, "MongoClient"):
            monkeypatch.setattr(module, "MongoClient", client)


def vasp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play VASP; inputs are written with the names of the POTCARs in place of them."""
    from atomate2.vasp.jobs import base

    fake = FakeVasp({"CaTiO3": -7.5})
    write = base.write_vasp_input_set

    def write_inputs(*args: Any, **options: Any) -> Any:
        return write(*args, **{**options, "potcar_spec": True, "from_prev": False})

    monkeypatch.setattr(base, "write_vasp_input_set", write_inputs)
    monkeypatch.setattr(base, "run_vasp", fake.run)
    monkeypatch.setattr(base, "get_vasp_task_document", fake.document)


def fireworks_cluster(monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Play the server and VASP; FireWorks' own commands run in this process."""
    from fireworks.scripts.lpad_run import lpad
    from fireworks.scripts.rlaunch_run import rlaunch

    mongodb(monkeypatch)
    vasp(monkeypatch)

    def launch(words: list[str]) -> int | None:
        import jobflow
        from jobflow.settings import JobflowSettings

        # as in a process of its own: the job store is that of the environment
        monkeypatch.setattr(jobflow, "SETTINGS", JobflowSettings())
        return rlaunch(words)

    return {"lpad": lpad, "rlaunch": launch}


def jobflow_remote_cluster(monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Play the server and VASP; jobflow-remote's own command runs in this process."""
    import jobflow_remote
    from jobflow_remote.cli.jf import app

    mongodb(monkeypatch)
    vasp(monkeypatch)
    # what the page exports is read when jobflow-remote is imported, which it is by now
    monkeypatch.setattr(jobflow_remote.SETTINGS, "projects_folder", str(Path.cwd() / "projects"))
    monkeypatch.setattr(jobflow_remote.SETTINGS, "project", "crystals")
    return {"jf": app}
