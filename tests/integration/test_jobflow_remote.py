"""The main Flow under jobflow-remote: daemon, runner and workers are processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("jobflow_remote")
pytest.importorskip("atomate2")

from crystalicl_jobflow.submission.workers import assign_workers
from integration.jobflow_remote import RemoteProject
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
from integration.processes import kill, place, wait_for
from job_names import step

pytestmark = [pytest.mark.mongodb, pytest.mark.slow]


@pytest.fixture
def project(mongodb_uri: str) -> Iterator[RemoteProject]:
    """A project with a running daemon."""
    with place(mongodb_uri) as here:
        remote = RemoteProject(here)
        try:
            remote.start()
            yield remote
        finally:
            remote.stop()


def test_every_job_runs_on_the_worker_asked_for(project):
    flow = assign_workers(discovery(), default="login", generation="gpu", forcefield="cpu")
    project.submit(flow, worker="login")
    jobs = project.wait()
    assert {item["state"] for item in jobs} == {"COMPLETED"}, project.words()
    names = {step(item["job"]["name"]) for item in jobs}
    relaxations = names - DISCOVERY_JOBS
    assert len(relaxations) >= 2
    assert all(name.startswith("relax forcefield") for name in relaxations)
    for item in jobs:
        name = step(item["job"]["name"])
        wanted = "login"
        if name in ("generate", "generate 1/2", "generate 2/2"):
            wanted = "gpu"
        elif name in relaxations:
            wanted = "cpu"
        assert item["worker"] == wanted, name
        # the worker's folder, not the document alone, says where it was
        assert project.place.path(wanted) in project.place.path(item["run_dir"]).parents, name
    large_fields_lie_in_gridfs(project.place)
    discovered(project.place)


def test_killed_workers_lose_and_double_nothing(project):
    """Both shards are killed half-way; one is run again at once, the other when all is over."""
    samples = 30  # of each formula
    here = project.place
    flow = assign_workers(generation(samples), default="cpu", generation="gpu")
    project.submit(flow, worker="cpu")

    written = {}

    def kill_one() -> str:
        """Kill the job that generates, and wait until the runner knows; return its id."""
        besides = set(written)
        here.wait_for_texts(1, besides=besides)
        process, job = project.find_worker("generate ")
        file = here.wait_for_texts(3, besides=besides)
        kill(process)
        written[file] = here.unfinished()[file]
        wait_for("the notice", lambda: project.state(job) == "FAILED", words=project.words)
        return job

    first = kill_one()
    project.jf("job", "rerun", first)
    second = kill_one()
    assert all(3 <= texts < samples for texts in written.values())
    assert second != first
    assert len(written) == 2

    project.wait()
    # the Flow has gone on without the second one, and says so
    assert project.state(second) == "FAILED"
    partly = outputs(here)["gather generations"]["output"]
    assert (partly["num_completions"], len(partly["missing_shards"])) == (samples, 1)
    store = collect(here)
    assert len(candidate_ids(store)) == samples
    assert list(here.unfinished()) == [list(written)[1]]

    project.pause()  # or jobflow-remote asks whether to go on in spite of it
    project.jf("job", "rerun", "--force", second)
    project.go_on()
    jobs = project.wait()
    assert {item["state"] for item in jobs} == {"COMPLETED"}, project.words()
    whole = outputs(here)["gather generations"]["output"]
    assert (whole["num_completions"], whole["missing_shards"]) == (2 * samples, [])
    # what was written before the kills was not written again
    assert whole["num_resumed"] == sum(written.values())
    collect(here)
    assert candidate_ids(store) == undisturbed_ids(samples)
    assert here.unfinished() == {}
