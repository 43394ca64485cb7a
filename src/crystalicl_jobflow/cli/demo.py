"""``crystalicl demo``: the whole chain once, on what ships with the package."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._console import (
    lap,
    note,
    stages,
    stdout_console,
    step_lines,
    verbose_option,
)
from crystalicl_jobflow.cli._outputs import check_run_folder

if TYPE_CHECKING:
    from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
    from crystalicl_jobflow.schemas import Candidate, Condition, Evaluation

ASKED = (
    {"formula": "CaTiO3", "space_group": 221},
    {"formula": "TiO2", "space_group": 136},
    {"formula": "NaCl", "space_group": 225},
)
"""What the demonstration asks for: a perovskite, rutile and rock salt."""

SHOTS = 3


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("crystalicl-demo"),
    show_default=True,
    help="Folder for everything that the run leaves behind.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Samples per condition.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@verbose_option
def demo(out: Path, samples: int, seed: int) -> None:
    """Run the whole chain once, on what ships with the package.

    Fills a pool of demonstrations with the prototypes inside pymatgen, retrieves
    demonstrations for three conditions, lets the embedded language model with its LoRA
    adapter write crystals, checks and evaluates them, and stores one document per
    candidate. Needs no network and no GPU.
    """
    seconds: dict[str, float] = {}
    check_run_folder(out)
    note(f"Results go into {out}")
    note("Loading libraries ...")
    started = time.perf_counter()
    # here, so that the first words come before the seconds that these imports take
    from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store
    from crystalicl_jobflow.schemas import Condition
    from crystalicl_jobflow.stores import load_job_store

    conditions = [Condition.build(**fields) for fields in ASKED]
    stores = out / "stores"
    stores.mkdir(parents=True, exist_ok=True)
    flow_maker = _flow_maker(stores / "pool.json", samples=samples, seed=seed)
    seconds["load_libraries"] = lap(started)

    note("Filling the pool of demonstrations with the prototypes inside pymatgen")
    seconds["fill_pool"] = _fill_pool(stores / "pool.json")

    job_store = load_job_store(
        {
            "docs_store": {"type": "JSONStore", "paths": str(stores / "jobs.json")},
            "additional_stores": {
                "data": {"type": "JSONStore", "paths": str(stores / "jobs_data.json")}
            },
        }
    )
    note("Running the Flow: " + "; ".join(condition.label() for condition in conditions))
    evaluation, candidates = _run_flow(flow_maker, conditions, job_store, out, seconds)

    started = time.perf_counter()
    store = open_candidate_store(str(stores / "candidates.json"))
    CandidateBuilder(job_store, store).run()
    seconds["store_candidates"] = lap(started)
    note(f"Stored {len(candidates)} candidates, one document each")

    _write(out, conditions, candidates, evaluation, seconds)
    _print(out, candidates, evaluation, seconds)


def _flow_maker(pool: Path, *, samples: int, seed: int) -> CrystalGenerationFlowMaker:
    from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
    from crystalicl_jobflow.jobs import GenerateMaker, RetrieveMaker
    from crystalicl_jobflow.schemas import SamplingParams

    return CrystalGenerationFlowMaker(
        retrieve_maker=RetrieveMaker(pool=str(pool), strategy="C", shots=SHOTS, seed=seed),
        generate_maker=GenerateMaker(num_samples=samples, sampling=SamplingParams(seed=seed)),
    )


def _fill_pool(path: Path) -> float:
    from crystalicl_jobflow.retrieval import fill_pool

    with stages() as report:
        done = fill_pool("prototypes", str(path), fingerprints=False, progress=report)
    note(
        f"Pool: {done.added} added, {done.updated} updated, {done.unchanged} unchanged,"
        f" {len(done.failed)} not readable"
    )
    return round(done.seconds, 3)


def _run_flow(
    flow_maker: CrystalGenerationFlowMaker,
    conditions: list[Condition],
    job_store: Any,
    out: Path,
    seconds: dict[str, float],
) -> tuple[Evaluation, list[Candidate]]:
    from jobflow import run_locally

    from crystalicl_jobflow.schemas.candidate import ValidateDoc
    from crystalicl_jobflow.stores import connect_store

    for part in (job_store.docs_store, *job_store.additional_stores.values()):
        connect_store(part)
    flow = flow_maker.make([condition.model_dump() for condition in conditions])
    names = {job.name.partition(" ")[0]: job.uuid for job in flow.jobs}
    spent: dict[str, float] = {}
    with step_lines(spent):
        responses = run_locally(
            flow, store=job_store, log=False, root_dir=out, raise_immediately=True
        )
    # of a job's name the first word is the step, the rest what is asked for
    seconds |= {name.partition(" ")[0]: value for name, value in spent.items()}
    validated: ValidateDoc = responses[names["validate"]][1].output
    return responses[names["evaluate"]][1].output, validated.candidates


def _write(
    out: Path,
    conditions: list[Condition],
    candidates: list[Candidate],
    evaluation: Evaluation,
    seconds: dict[str, float],
) -> None:
    from crystalicl_jobflow.cli import _candidates

    summary: dict[str, Any] = {
        "conditions": [item.model_dump(mode="json", exclude_defaults=True) for item in conditions],
        "shots": SHOTS,
        "seconds": seconds,
    }
    _candidates.write_run(out, candidates, evaluation, summary)


def _print(
    out: Path, candidates: list[Candidate], evaluation: Evaluation, seconds: dict[str, float]
) -> None:
    from crystalicl_jobflow.cli._candidates import CIFS, print_run
    from crystalicl_jobflow.notebook import Crystals

    print_run(Crystals.from_candidates(candidates), evaluation)
    program = _program()
    spent = ", ".join(f"{name.replace('_', ' ')} {value:.1f} s" for name, value in seconds.items())
    lines = [
        f"Time: {spent}.",
        "",
        f"  {out / CIFS}/  one CIF file per valid crystal",
        f"  {out / 'candidates.jsonl'}  one document per candidate, valid or not",
        f"  {out / 'summary.json'}  rates with their denominators, model, versions, times",
        f"  {out / 'stores'}/  maggma stores: pool, job outputs, candidates",
        "",
        "Next:",
        f"  {program} query {out} --valid --space-group 221",
        f"  {program} generate --formula SrTiO3 --space-group 221 --samples 8 --out my-crystals",
        f"  {program} generate --help",
    ]
    stdout_console().print("\n".join(lines), soft_wrap=True)


def _program() -> str:
    """Return what calls this command again: its path, where the shell does not find it."""
    called = Path(sys.argv[0])
    if called.name != "crystalicl" or shutil.which("crystalicl") is not None:
        return "crystalicl"
    return str(called)
