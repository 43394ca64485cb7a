"""A relaxation that crashes holds up nothing, under a workflow manager either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jobflow import JobStore
from maggma.stores import MongoStore

from crystalicl_jobflow.flows import CrystalGenerationFlowMaker, DiscoveryFlowMaker
from crystalicl_jobflow.jobs import GenerateMaker
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator
from vasp_fakes import FakeVasp, with_potcar_spec

pytestmark = [pytest.mark.mongodb, pytest.mark.slow]


@pytest.fixture
def launchpad(mongodb_uri: str) -> Iterator[Any]:
    """An empty launch pad in a database of its own."""
    fireworks = pytest.importorskip("fireworks")
    name = f"crystalicl_test_{uuid4().hex[:12]}"
    pad = fireworks.LaunchPad(host=f"{mongodb_uri}/{name}", uri_mode=True, name=name)
    pad.reset("", require_password=False)
    yield pad
    pad.connection.drop_database(name)


def test_the_child_of_a_crashed_run_does_not_wait_for_ever(
    launchpad, mongodb_uri, tmp_path: Path, monkeypatch
):
    import fireworks
    from fireworks.core.rocket_launcher import rapidfire
    from jobflow.managers.fireworks import flow_to_workflow

    vasp = pytest.importorskip("atomate2.vasp.flows.mp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator",
        lambda *args, **kwargs: RecitingGenerator([ROCK_SALT, PEROVSKITE]),
    )
    collections = [
        MongoStore.from_uri(mongodb_uri, name, database=launchpad.name)
        for name in ("outputs", "outputs_data")
    ]
    store = JobStore(collections[0], additional_stores={"data": collections[1]})
    maker = DiscoveryFlowMaker(
        with_potcar_spec(vasp.MPGGADoubleRelaxMaker()),
        n_generate=6,
        generation_maker=CrystalGenerationFlowMaker(
            retrieve_maker=None, generate_maker=GenerateMaker(constrain=False)
        ),
    )
    flow = maker.make([{}])
    launchpad.add_wf(flow_to_workflow(flow, store=store))
    fake = FakeVasp({"NaCl": -3.37, "CaTiO3": -7.8}, fails=("relax dft 1/2: MP GGA relax 1",))
    with fake.plays():
        rapidfire(launchpad, fireworks.FWorker(), m_dir=str(tmp_path), sleep_time=0, timeout=300)
    found = launchpad.fireworks.find({}, {"name": 1, "state": 1})
    fizzled = {item["name"] for item in found if item["state"] == "FIZZLED"}
    # the second run has nothing to begin with; that it does not wait lets the rest go on
    assert fizzled == {f"relax dft 1/2: MP GGA relax {step}" for step in (1, 2)}
    states = launchpad.fireworks.distinct("state")
    assert sorted(states) == ["COMPLETED", "FIZZLED"]
    store.connect()
    document = flow.output.resolve(store)
    assert (document.counts["dft_tried"], document.counts["dft_relaxed"]) == (2, 1)
