"""The main Flow under FireWorks: two ``rlaunch`` processes at once, one with the GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

pytest.importorskip("fireworks")
pytest.importorskip("atomate2")

from crystalicl_jobflow.submission.workers import assign_workers
from integration.fireworks_workers import LaunchPadPlace
from integration.main_flow import (
    DISCOVERY_JOBS,
    candidate_ids,
    collect,
    discovered,
    discovery,
    generation,
    large_fields_lie_in_gridfs,
    outputs,
    undisturbed_ids,
)
from integration.processes import kill, place
from job_names import step

pytestmark = [pytest.mark.mongodb, pytest.mark.slow]


@pytest.fixture
def launchpad(mongodb_uri: str) -> Iterator[LaunchPadPlace]:
    """An empty launch pad."""
    with place(mongodb_uri) as here:
        yield LaunchPadPlace(here)


def test_every_job_runs_on_the_worker_asked_for(launchpad):
    launchpad.submit(assign_workers(discovery(), "fireworks", generation="gpu"))
    workers = [launchpad.start("gpu"), launchpad.start("cpu")]
    states = launchpad.wait()
    assert set(states.values()) == {"COMPLETED"}, launchpad.words()
    assert all(worker.poll() is None for worker in workers)  # both lived until the end
    ran = Counter((step(name), worker) for name, worker, _ in launchpad.launches())
    assert set(ran.values()) == {1}
    relaxations = {name for name, _ in ran} - DISCOVERY_JOBS
    assert len(relaxations) >= 2
    assert all(name.startswith("relax forcefield") for name in relaxations)
    for name, worker in ran:
        wanted = "gpu" if name in ("generate", "generate 1/2", "generate 2/2") else "cpu"
        assert worker == wanted, name
    large_fields_lie_in_gridfs(launchpad.place)
    discovered(launchpad.place)


def test_a_killed_worker_loses_and_doubles_nothing(launchpad):
    samples = 30  # of each formula
    launchpad.submit(assign_workers(generation(samples), "fireworks", generation="gpu"))
    gpu = launchpad.start("gpu")
    launchpad.start("cpu")
    file = launchpad.place.wait_for_texts(3)
    kill(psutil.Process(gpu.pid))
    written = launchpad.place.unfinished()[file]
    assert 3 <= written < samples
    assert [state for _, _, state in launchpad.launches()][-1] == "RUNNING"  # nobody knows yet

    launchpad.lpad("detect_lostruns", "--time", "1", "--rerun")
    launchpad.start("gpu")
    states = launchpad.wait()
    assert set(states.values()) == {"COMPLETED"}, launchpad.words()
    tries = Counter(name for name, _, _ in launchpad.launches())
    assert sorted(tries.values()) == [1] * (len(tries) - 1) + [2]
    killed = next(name for name, number in tries.items() if number == 2)
    assert step(killed) in ("generate 1/2", "generate 2/2")

    gathered = outputs(launchpad.place)["gather generations"]["output"]
    assert gathered["num_resumed"] == written  # written once, not again
    assert gathered["missing_shards"] == []
    assert candidate_ids(collect(launchpad.place)) == undisturbed_ids(samples)
    assert launchpad.place.unfinished() == {}
