"""The job that writes crystal texts with a language model, on one worker or several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from jobflow import CURRENT_JOB, Flow, JobConfig, Maker, OnMissing, Response
from monty.json import jsanitize
from pydantic import ValidationError

from crystalicl_jobflow.energies.text_verdicts import search_judge
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.http_engine import ServerOptions, is_server, parse_address
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.generation.tasks import (
    GenerationTask,
    merge_generations,
    plan_tasks,
    split_tasks,
)
from crystalicl_jobflow.generation.writing import GroupSource, read_sampling
from crystalicl_jobflow.jobs._fields import as_search, check_fields
from crystalicl_jobflow.jobs._inputs import (
    Conditions,
    as_retrievals,
    log_progress,
    with_checked_conditions,
)
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.prompts import check_template
from crystalicl_jobflow.schemas import Retrieval, SamplingParams, TreeSearch
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.generation import GenerateDoc
from crystalicl_jobflow.schemas.retrieval import RetrieveDoc
from crystalicl_jobflow.settings import SETTINGS, resume_folder
from crystalicl_jobflow.text.formats import get_text
from crystalicl_jobflow.utils.numbers import whole_number

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

logger = logging.getLogger(__name__)


@dataclass
class GenerateMaker(Maker):
    """Write crystal texts for retrieved demonstrations.

    The model is loaded once per job. With ``num_shards`` or ``shard_size`` the job
    replaces itself by several that can run side by side, and one that gathers their
    texts; these are the same as those of a single job. A shard that fails costs its own
    texts only: the gathered document names it.

    Every text is kept on disk as soon as it is written, until the job is done: a job that
    was killed and is launched again, under whatever name and in whatever folder, writes
    only what is missing. ``SETTINGS.RESUME_DIR`` says where.

    Parameters
    ----------
    name
        Name of the job, which tells what is asked for as well unless it is changed; shards are
        called 'generate NaCl 225 ×8 1/4' and so on, so that a name filter sends them to the same
        worker.
    base_model, adapter
        Names or paths; 'embedded' is the model that ships with the package;
        ``http://host:8000/v1#model`` is one on an OpenAI-compatible server.
    revision, adapter_revision
        Branch, tag or commit of either on the hub.
    allow_other_base
        Whether to take an adapter that was made for another base model; the record says so.
    device
        Torch device; 'auto' takes a GPU where there is one.
    dtype
        Torch dtype, e.g. 'bfloat16'; 'auto' leaves it to the model and device.
    quantization
        None, '8bit' or '4bit'.
    sampling
        Temperature, nucleus, limits and seed; ``best_of`` k draws k texts for each sample
        and keeps the most probable.
    num_samples
        Texts per condition that are kept; 1 with a search, whose texts are its simulations.
    search
        Settings of a search that leads the texts to high rewards (a ``TreeSearch`` or a mapping
        of its fields); None draws them at random.
    constrain
        Whether a constraint makes texts meet their condition as they are written: True, False or
        options (a ``ConstraintOptions`` or a mapping of its fields).
    text_format
        Name of the crystal text.
    template
        Words of the prompt: 'crystalicl' or 'alpaca'.
    groups
        For a formula without a space group: 'pool' draws the groups of the texts from those that
        the retrieval offers, 'model' leaves them to the model.
    batch_size
        Texts written at once, at most.
    num_threads
        Torch threads; None leaves torch's own choice.
    server
        Options of a model server, such as ``{"concurrency": 64}``.
    num_shards
        Jobs among which the texts are divided evenly.
    shard_size
        Texts per job, at most; instead of ``num_shards``. A search is not divided: a job has
        whole conditions, at least one.

    Raises
    ------
    ValueError
        If both ``num_shards`` and ``shard_size`` are given, one is no positive whole number, or
        text format, template or an option of the constraint or the search does not exist; one line.
    GenerationError
        If the address of a model server holds a password, or one of its options is not known.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import GenerateMaker, RetrieveMaker
    >>> retrieve = RetrieveMaker().make({"formula": "CaTiO3", "space_group": 221})
    >>> generate = GenerateMaker(num_samples=8).make(retrieve.output.retrievals)
    >>> generate.output.num_completions  # doctest: +ELLIPSIS
    OutputReference(..., .num_completions)
    """

    name: str = "generate"
    base_model: str = field(default_factory=lambda: SETTINGS.MODEL)
    adapter: str | None = field(default_factory=lambda: SETTINGS.ADAPTER)
    revision: str | None = None
    adapter_revision: str | None = None
    allow_other_base: bool = False
    device: str = field(default_factory=lambda: SETTINGS.DEVICE)
    dtype: str = "auto"
    quantization: str | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    num_samples: int = 1
    search: TreeSearch | None = None
    constrain: Any = True
    text_format: str = "sgs"
    template: str = "crystalicl"
    groups: GroupSource = "pool"
    batch_size: int = field(default_factory=lambda: SETTINGS.BATCH_SIZE)
    num_threads: int | None = field(default_factory=lambda: SETTINGS.NUM_THREADS)
    server: dict[str, Any] = field(default_factory=dict)
    num_shards: int | None = None
    shard_size: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.num_shards is not None and self.shard_size is not None:
            raise ValueError("give num_shards or shard_size, not both")
        for option in ("num_samples", "num_shards", "shard_size"):
            value = getattr(self, option)
            if value is not None or option == "num_samples":
                setattr(self, option, whole_number(value, option))
        if is_server(self.base_model):
            parse_address(self.base_model)  # a password in it would be stored with the job
            ServerOptions.build(self.server)
        self.sampling = read_sampling(self.sampling)
        if isinstance(self.search, dict):
            self.search = as_search(self.search)
        if not isinstance(self.search, TreeSearch | None):
            raise ValueError(f"search must be a TreeSearch or its fields, got {self.search!r}")
        if self.search is not None and (self.num_samples, self.sampling.best_of) != (1, 1):
            raise ValueError(
                "a search keeps all its simulations: num_samples and best_of must be 1"
            )
        # now, not in a job that has waited for a GPU
        get_text(self.text_format)
        check_template(self.template)
        if self.groups not in get_args(GroupSource):
            raise ValueError(f"groups {self.groups!r} is not one of {get_args(GroupSource)}")
        self.constraint_options()

    def constraint_options(self) -> bool | ConstraintOptions:
        """Return ``constrain`` with a mapping as options.

        Raises
        ------
        ValueError
            If an option does not exist or cannot be; one line.
        """
        if isinstance(self.constrain, str | int | None) and not isinstance(self.constrain, bool):
            raise ValueError(f"constrain must be True, False or options, got {self.constrain!r}")
        if not isinstance(self.constrain, dict):
            options: bool | ConstraintOptions = self.constrain
            return options
        from crystalicl_jobflow.generation.constraints import ConstraintOptions

        try:
            return ConstraintOptions(**self.constrain)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"constrain: {field}: {first['msg']}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return the Maker as plain data.

        MSONable leaves pydantic documents as they are, and FireWorks would then store
        their text representation.
        """
        plain: dict[str, Any] = jsanitize(super().as_dict(), strict=True)
        return plain

    # What replaces this job finds its own way: shards go where this job went (see
    # _sharded), the gathering does not need the GPU that they do.
    @with_checked_conditions("retrievals")
    @crystal_job(output_schema=GenerateDoc, data=DATA, config=JobConfig(pass_manager_config=False))
    def make(
        self,
        retrievals: Retrieval | RetrieveDoc | Conditions | Sequence[Retrieval],
        tasks: Any = None,
    ) -> GenerateDoc | Response[Any]:
        """Write the texts.

        Parameters
        ----------
        retrievals
            A retrieval or a list of them; a condition alone is answered zero-shot.
        tasks
            Which samples, where this job is a shard of a larger one.

        Returns
        -------
        GenerateDoc
            One generation per retrieval, in order.
        """
        asked = as_retrievals(retrievals)
        if tasks is None:
            all_tasks = plan_tasks(
                [item.condition for item in asked], self.num_texts, [item.edit for item in asked]
            )
            shards = self._shards(all_tasks)
            if len(shards) > 1:
                return self._sharded(asked, shards)
            tasks = all_tasks
        return self._generate(asked, [GenerationTask.model_validate(task) for task in tasks])

    def with_texts(self, number: int) -> GenerateMaker:
        """Return the Maker with another number of texts per condition."""
        if self.search is None:
            return replace(self, num_samples=number)
        return replace(self, search=self.search.model_copy(update={"simulations": number}))

    @property
    def num_texts(self) -> int:
        """Texts per condition."""
        return self.num_samples if self.search is None else self.search.simulations

    def _shards(self, tasks: list[GenerationTask]) -> list[list[GenerationTask]]:
        """Divide the tasks among jobs; one where they are not divided."""
        size = self.shard_size
        if self.num_shards is not None:
            parts = len(tasks) if self.search is not None else len(tasks) * self.num_texts
            size = -(-parts // self.num_shards)
        elif size is not None and self.search is not None:
            size = max(1, size // self.num_texts)
        if size is None:
            return [tasks]
        if self.search is None:
            return split_tasks(tasks, size)
        return [tasks[start : start + size] for start in range(0, len(tasks), size)]

    def loader(self) -> Callable[[], TextGenerator]:
        """Return what loads the model: an impossible condition is reported before that."""
        from crystalicl_jobflow.generation import load_generator

        return partial(
            load_generator,
            self.base_model,
            self.adapter,
            device=self.device,
            dtype=self.dtype,
            quantization=self.quantization,
            batch_size=self.batch_size,
            num_threads=self.num_threads,
            revision=self.revision,
            adapter_revision=self.adapter_revision,
            allow_other_base=self.allow_other_base,
            server=self.server,
        )

    def unfinished(self) -> UnfinishedWork | None:
        """Return where the texts are kept until the job is done; None where nowhere."""
        folder = resume_folder()
        return None if folder is None else UnfinishedWork(folder, on_found=self._tell_found)

    def _generate(self, retrievals: list[Retrieval], tasks: list[GenerationTask]) -> GenerateDoc:
        conditions = [retrieval.condition for retrieval in retrievals]
        judge = search_judge(conditions, self.search, text_format=self.text_format)
        unfinished = self.unfinished()
        generations = generate_for_retrievals(
            retrievals,
            self.loader(),
            sampling=self.sampling,
            text_format=self.text_format,
            template=self.template,
            constrain=self.constraint_options(),
            groups=self.groups,
            tasks=tasks,
            progress=log_progress(logger, self.name),
            unfinished=unfinished,
            search=self.search,
            judge=judge,
        )
        document = GenerateDoc.from_generations(
            generations,
            num_samples=sum(task.num_samples for task in tasks),
            # every generation of a batch states the seconds of the whole batch
            seconds=generations[0].seconds if generations else None,
            num_resumed=0 if unfinished is None else self._samples(unfinished.num_found),
        )
        if unfinished is not None:
            unfinished.discard()
        return document

    def _samples(self, draws: int) -> int:
        return draws // self.sampling.best_of

    def _tell_found(self, draws: int, total: int) -> None:
        logger.info(
            "%s: continues a launch that was killed: %d of %d texts are written",
            self.name,
            self._samples(draws),
            self._samples(total),
        )

    def _sharded(
        self, retrievals: list[Retrieval], shards: list[list[GenerationTask]]
    ) -> Response[Any]:
        this = CURRENT_JOB.job
        jobs = []
        for number, tasks in enumerate(shards, start=1):
            maker = replace(
                self, name=f"{this.name} {number}/{len(shards)}", num_shards=None, shard_size=None
            )
            shard = maker.make([retrievals[task.index] for task in tasks], tasks)
            shard.config.manager_config = dict(this.config.manager_config)
            jobs.append(shard)
        num_samples = sum(task.num_samples for tasks in shards for task in tasks)
        outputs: list[Any] = [shard.output for shard in jobs]
        gather = gather_generations(outputs, num_samples)
        # The gathering takes this job's place itself. A Flow with an output would add a job
        # that stores a reference to it, which no output schema accepts.
        gather.set_uuid(this.uuid)
        gather.index = this.index + 1
        gather.metadata = {**gather.metadata, **this.metadata}
        return Response(replace=Flow([*jobs, gather], name=self.name))


@crystal_job(
    name="gather generations",
    output_schema=GenerateDoc,
    data=DATA,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def gather_generations(shards: list[GenerateDoc | None], num_samples: int) -> GenerateDoc:
    """Put the texts of several generation jobs together.

    Parameters
    ----------
    shards
        Outputs of the jobs; None for one that failed.
    num_samples
        Texts asked for in all of them.

    Returns
    -------
    GenerateDoc
        As a single job would have returned it, with the failed shards named.

    Raises
    ------
    RuntimeError
        If every shard failed.
    """
    present = [shard for shard in shards if shard is not None]
    if not present:
        raise RuntimeError(f"all {len(shards)} generation jobs failed; see the error of each")
    times = [shard.seconds for shard in present if shard.seconds is not None]
    return GenerateDoc.from_generations(
        merge_generations([shard.generations for shard in present]),
        num_samples=num_samples,
        num_shards=len(shards),
        missing_shards=[number for number, shard in enumerate(shards, 1) if shard is None],
        seconds=sum(times) if times else None,
        num_resumed=sum(shard.num_resumed for shard in present),
    )
