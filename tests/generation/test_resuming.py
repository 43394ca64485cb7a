"""A generation that is killed goes on with what it has written, and writes the same texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.resuming import UnfinishedWork, model_identity
from crystalicl_jobflow.generation.tasks import GenerationTask, plan_tasks, split_tasks
from crystalicl_jobflow.schemas import Completion, Condition, ModelInfo, Retrieval, SamplingParams
from crystalicl_jobflow.utils.journal import fingerprint
from reciting import Dying, RecitingGenerator

from . import killed
from .killed import CONDITIONS, DRAWS, SAMPLES, SAMPLING

SIGKILLED = -9
RETRIEVALS = [Retrieval(condition=item, strategy="C", shots=0, seed=0) for item in CONDITIONS]


def write(
    generator: RecitingGenerator,
    folder: Path | None,
    *,
    retrievals: list[Retrieval] = RETRIEVALS,
    sampling: SamplingParams | None = None,
    samples: int = 5,
    tasks: list[GenerationTask] | None = None,
    **options: Any,
) -> tuple[list[list[Completion]], UnfinishedWork | None]:
    work = None if folder is None else UnfinishedWork(folder)
    options.setdefault("constrain", False)
    generations = generate_for_retrievals(
        retrievals,
        generator,
        sampling=sampling or SamplingParams(seed=1, max_redraws=1),
        num_samples=samples,
        tasks=tasks,
        unfinished=work,
        **options,
    )
    return [item.completions for item in generations], work


def interrupted(folder: Path, after: int, **options: Any) -> Path:
    """Write until the generator dies; return the file that is left."""
    with pytest.raises(KeyboardInterrupt):
        write(Dying(after), folder, **options)
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("how", ["free", "constrained"])
def test_a_killed_process_loses_no_finished_text(
    tiny_model: Path, tmp_path: Path, how: str
) -> None:
    constrain = how == "constrained"
    whole = killed.write(tiny_model, None, constrain=constrain)
    words = [sys.executable, killed.__file__, str(tiny_model), str(tmp_path), "9", how]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == SIGKILLED, done.stderr
    written: list[Any] = []
    work = UnfinishedWork(tmp_path, on_found=lambda *counts: written.append(counts))
    # another batch size: texts do not depend on what is written beside them
    again = killed.write(tiny_model, work, batch_size=3, constrain=constrain)
    assert written == [(9, DRAWS)]
    assert [item.completions for item in again] == [item.completions for item in whole]
    lines = Path(str(work.path)).read_text().splitlines()
    assert sum("completion" in line for line in lines) == DRAWS


@pytest.mark.parametrize("best_of", [1, 3])
@given(after=st.integers(1, 9))
def test_only_what_is_missing_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, best_of: int, after: int
) -> None:
    folder = tmp_path_factory.mktemp("work")
    options: dict[str, Any] = {"sampling": SamplingParams(seed=1, best_of=best_of)}
    whole, _ = write(RecitingGenerator(), None, **options)
    interrupted(folder, after, **options)
    generator = Dying()
    again, work = write(generator, folder, **options)
    assert again == whole
    assert work is not None
    assert work.num_found == after
    assert len(generator.asked) == len(set(generator.asked)) == 10 * best_of - after


def test_draws_that_finish_out_of_order_leave_gaps_that_are_filled(tmp_path: Path) -> None:
    whole, work = write(RecitingGenerator(), tmp_path)
    assert work is not None
    path = Path(str(work.path))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for number, line in enumerate(lines) if number not in (2, 4, 5)))
    generator = Dying()
    assert write(generator, tmp_path)[0] == whole
    assert [number for _, number in generator.asked] == [1, 3, 4]


def test_a_launch_with_nothing_missing_asks_nothing(tmp_path: Path) -> None:
    whole, _ = write(RecitingGenerator(), tmp_path)
    generator = Dying()
    told: list[tuple[int, int]] = []
    again, _ = write(generator, tmp_path, progress=lambda *counts: told.append(counts))
    assert again == whole
    assert generator.calls == []
    assert told[-1] == (10, 10)


def test_progress_counts_what_was_found(tmp_path: Path) -> None:
    interrupted(tmp_path, 4)
    told: list[tuple[int, int]] = []
    write(RecitingGenerator(), tmp_path, progress=lambda *counts: told.append(counts))
    assert told == [(4, 10), (10, 10)]


@pytest.mark.parametrize("cut", [2, 20, 200])
def test_a_line_that_the_kill_cut_off_is_written_again(tmp_path: Path, cut: int) -> None:
    whole, _ = write(RecitingGenerator(), None)
    path = interrupted(tmp_path, 4)
    path.write_bytes(path.read_bytes()[:-cut])
    again, work = write(RecitingGenerator(), tmp_path)
    assert again == whole
    assert work is not None
    assert work.num_found == 3
    # what follows the torn line is read again after a second kill
    assert write(Dying(), tmp_path)[0] == whole


def test_a_header_that_the_kill_cut_off_means_nothing_was_written(tmp_path: Path) -> None:
    whole, _ = write(RecitingGenerator(), None)
    path = interrupted(tmp_path, 4)
    path.write_bytes(path.read_bytes()[:10])
    again, work = write(RecitingGenerator(), tmp_path)
    assert again == whole
    assert work is not None
    assert work.num_found == 0
    assert write(Dying(), tmp_path)[1].num_found == 10  # type: ignore[union-attr]


OTHERS: dict[str, dict[str, Any]] = {
    "seed": {"sampling": SamplingParams(seed=2, max_redraws=1)},
    "temperature": {"sampling": SamplingParams(seed=1, max_redraws=1, temperature=0.5)},
    "samples": {"samples": 6},
    "condition": {
        "retrievals": [
            RETRIEVALS[0],
            Retrieval(condition=Condition(formula="KCl"), strategy="C", shots=0, seed=0),
        ]
    },
    "template": {"template": "alpaca"},
    "text format": {"text_format": "xyz"},
    "constraint": {"constrain": True},
    "other samples of the same conditions": {
        "tasks": [task.model_copy(update={"first_sample": 5}) for task in plan_tasks(CONDITIONS, 5)]
    },
}


@pytest.mark.parametrize("other", OTHERS, ids=lambda name: name.replace(" ", "_"))
def test_the_file_of_another_task_is_neither_used_nor_touched(tmp_path: Path, other: str) -> None:
    path = interrupted(tmp_path, 4)
    before = path.read_bytes()
    generator = Dying()
    _, work = write(generator, tmp_path, **OTHERS[other])
    assert work is not None
    assert work.num_found == 0
    work.discard()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_file_under_the_name_of_another_is_not_read(tmp_path: Path) -> None:
    path = interrupted(tmp_path, 4)
    _, work = write(RecitingGenerator(), tmp_path, samples=6)
    assert work is not None
    path.rename(Path(str(work.path)))
    _, work = write(RecitingGenerator(), tmp_path, samples=6)
    assert work is not None
    assert work.num_found == 0


def test_what_decides_the_texts_of_a_model_is_all_but_the_number_of_the_gpu() -> None:
    info = ModelInfo(engine="transformers", base_model="m", base_revision="1", device="cuda:0")
    same = info.model_copy(update={"device": "cuda:3"})
    assert model_identity(info) == model_identity(same)
    for change in ({"base_revision": "2"}, {"device": "cpu"}, {"dtype": "bfloat16"}):
        other = model_identity(info.model_copy(update=change))
        assert fingerprint(other) != fingerprint(model_identity(info))


def test_shards_of_one_generation_have_files_of_their_own(tmp_path: Path) -> None:
    shards = split_tasks(plan_tasks(CONDITIONS, 5), 4)
    for tasks in shards:
        own = [RETRIEVALS[task.index] for task in tasks]
        write(RecitingGenerator(), tmp_path, retrievals=own, tasks=tasks)
    assert len(list(tmp_path.iterdir())) == len(shards) == 3


def test_seconds_of_all_launches_are_added(tmp_path: Path) -> None:
    path = interrupted(tmp_path, 4)
    lines = path.read_text().splitlines()
    late = json.loads(lines[-1]) | {"seconds": 1000.0}
    path.write_text("\n".join([*lines[:-1], json.dumps(late)]) + "\n")
    generations = generate_for_retrievals(
        RETRIEVALS,
        RecitingGenerator(),
        sampling=SamplingParams(seed=1, max_redraws=1),
        num_samples=5,
        constrain=False,
        unfinished=UnfinishedWork(tmp_path),
    )
    assert generations[0].seconds is not None
    assert generations[0].seconds >= 1000.0


def test_what_a_server_failed_to_answer_is_asked_for_again(tmp_path: Path) -> None:
    class Failing(Dying):
        def _sample(self, request: Any, index: int, sample: int, *more: Any) -> Completion:
            completion = super()._sample(request, index, sample, *more)
            if sample != 2:
                return completion
            return completion.model_copy(update={"text": "", "error": "time-out"})

        def generate(self, *arguments: Any, on_completion: Any = None, **options: Any) -> Any:
            # as the engine of model servers: what failed is not told
            def tell(index: int, completion: Completion) -> None:
                if completion.error is None:
                    on_completion(index, completion)

            return super().generate(*arguments, on_completion=tell, **options)

    whole, _ = write(RecitingGenerator(), None)
    failed, work = write(Failing(), tmp_path)
    assert [completion.error for completion in failed[0]] == [None, None, "time-out", None, None]
    assert work is not None
    work.discard()
    generator = Dying()
    again, work = write(generator, tmp_path)
    assert again == whole
    assert [number for _, number in generator.asked] == [2, 2]
    assert work is not None
    work.discard()
    assert list(tmp_path.iterdir()) == []


def test_two_launches_at_once_write_the_same_and_do_not_disturb_each_other(tmp_path: Path) -> None:
    whole, _ = write(RecitingGenerator(), None)
    task = {"seed": 0}
    works = [UnfinishedWork(tmp_path), UnfinishedWork(tmp_path)]
    for work in works:
        assert work.begin(task) == {}
    for number, completion in enumerate(whole[0]):
        for work in works:
            work.record((0, number), completion)
    works[0].discard()
    works[1].record((0, 9), whole[0][0])  # into a file that is gone
    works[1].discard()
    assert list(tmp_path.iterdir()) == []
    for work in works:
        work.begin(task)
        for number, completion in enumerate(whole[0]):
            work.record((0, number), completion)
    found = UnfinishedWork(tmp_path).begin(task)
    assert found == {(0, number): completion for number, completion in enumerate(whole[0])}


def test_discarding_removes_the_file_and_can_be_done_twice(tmp_path: Path) -> None:
    _, work = write(RecitingGenerator(), tmp_path)
    assert work is not None
    work.discard()
    work.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_the_safety_not_the_texts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    whole, _ = write(RecitingGenerator(), None)
    assert write(RecitingGenerator(), tmp_path / "file" / "folder")[0] == whole
    assert sum("a kill would lose what is done" in line for line in caplog.messages) == 1


def test_the_samples_of_the_killed_script_are_what_the_test_says() -> None:
    assert DRAWS == 2 * SAMPLES * SAMPLING.best_of == 24
