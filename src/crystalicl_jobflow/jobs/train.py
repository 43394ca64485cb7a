"""The jobs that train models and complete their cards."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from jobflow import CURRENT_JOB, JobConfig, Maker, OnMissing, job
from monty.json import jsanitize

from crystalicl_jobflow.jobs._inputs import without_secrets
from crystalicl_jobflow.jobs.instructions import INSTRUCTIONS
from crystalicl_jobflow.schemas import Evaluation
from crystalicl_jobflow.schemas.training import (
    CardDoc,
    DataRecord,
    InstructionRecord,
    InstructionsDoc,
    TrainDoc,
)
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.training.base_model import BaseSize
from crystalicl_jobflow.training.loop import LoopSettings
from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings
from crystalicl_jobflow.utils.files import safe_name, write_json, write_text

logger = logging.getLogger(__name__)


@dataclass
class TrainMaker(Maker):
    """Tune an adapter, or train a new base model.

    Runs on a worker with a GPU, or without one. The weights stay in the job's folder on the
    worker: generation jobs name it as ``adapter`` or ``base_model``. A job that is run
    again with the same ``folder`` continues from the last checkpoint.

    Parameters
    ----------
    name
        Name of the job.
    method
        'lora' tunes an adapter, 'base' trains a new small Llama.
    base_model
        Model that gets the adapter: name on the Hugging Face hub, folder, or 'embedded'.
    folder
        Where the training lives on the worker; None for the job's own folder. Name an
        absolute one if a killed job shall continue when it runs again.
    loop
        How the training runs; None for the paper's settings ('lora') or the defaults
        ('base').
    lora, size
        The adapter, or the base model.
    start
        Folder of a trained model from which 'base' begins.
    text_format, mixture, augment, substitute, made_up, aligned, weights, max_orbits, limit
        Where crystals are given instead of instructions: as for the command line.
    exclude, cache, workers
        The same: files to test on, whose compounds are kept out; analysed crystals.
    validation_share
        Share of the formulas that is held out.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import TrainMaker
    >>> from crystalicl_jobflow.training import LoraSettings
    >>> maker = TrainMaker(base_model="meta-llama/Llama-2-7b-chat-hf")
    >>> maker.lora = LoraSettings(quantization="4bit", gradient_checkpointing=True)
    >>> maker.make("train.csv.gz").name
    'train'
    """

    name: str = "train"
    method: Literal["lora", "base"] = "lora"
    base_model: str = EMBEDDED_MODEL
    folder: str | None = None
    loop: LoopSettings | None = None
    lora: LoraSettings = field(default_factory=LoraSettings)
    size: BaseSize = field(default_factory=BaseSize)
    start: str | None = None
    text_format: str = "sgs"
    mixture: str = "hybrid"
    augment: float = 0.0
    substitute: float = 0.0
    made_up: float = 0.0
    aligned: bool = False
    exclude: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    validation_share: float = 0.05
    max_orbits: int | None = None
    limit: int | None = None
    cache: str | None = None
    workers: int = 1
    licences: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in ("lora", "base"):
            raise ValueError(f"method {self.method!r} is not one of lora, base")
        self.loop = settings_from(LoopSettings, self.loop)
        self.lora = settings_from(LoraSettings, self.lora) or LoraSettings()
        self.size = settings_from(BaseSize, self.size) or BaseSize()

    def as_dict(self) -> dict[str, Any]:
        """Return the Maker as plain data."""
        plain: dict[str, Any] = jsanitize(super().as_dict(), strict=True)
        return plain

    @without_secrets("data")
    @job(output_schema=TrainDoc)
    def make(self, data: Any) -> TrainDoc:
        """Train.

        Parameters
        ----------
        data
            What to learn from: the output of an `InstructionsMaker`, instructions or a
            reference to them; a JSONL file of instructions; or CSV files and pools that the
            worker can reach.

        Returns
        -------
        TrainDoc
            Where the weights are, the losses, and the card.
        """
        from crystalicl_jobflow.training.checkpoints import CHECKPOINT
        from crystalicl_jobflow.training.lora import check_lora
        from crystalicl_jobflow.training.progress import progress_words
        from crystalicl_jobflow.training.recipes import base_recipe, lora_recipe

        if self.method == "lora":
            check_lora(self.lora)
        loop = self.loop or (PAPER_LOOP if self.method == "lora" else LoopSettings())
        folder = Path(self.folder or own_folder(self.name)).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        resumed = (folder / CHECKPOINT).is_file()
        lesson = self._lesson(data, folder, seed=loop.seed)
        say = progress_words(epochs=loop.epochs)

        def report(line: dict[str, float]) -> None:
            logger.info("%s: %s", self.name, say(line))

        if self.method == "lora":
            result = lora_recipe(
                lesson, self.base_model, folder, settings=loop, lora=self.lora, progress=report
            )
        else:
            result = base_recipe(
                lesson, folder, settings=loop, size=self.size, start=self.start, progress=report
            )
        return _train_doc(self, result, resumed=resumed)

    def _lesson(self, data: Any, folder: Path, *, seed: int) -> Any:
        from crystalicl_jobflow.training.data.mixtures import MIXTURES, Variation
        from crystalicl_jobflow.training.recipes import crystal_lesson, file_lesson, load_split

        if isinstance(data, Mapping) and "instructions" in data:  # as a database kept it
            known = InstructionsDoc.model_fields
            data = InstructionsDoc(**{name: data[name] for name in data if name in known})
        path = _instruction_file(data, folder)
        if path is not None:
            return file_lesson(
                path,
                validation_share=self.validation_share,
                seed=seed,
                licences=self.licences,
                data=_sources(data),
            )
        split = load_split(
            data if isinstance(data, list | tuple) else [data],
            cache=self.cache,
            workers=self.workers,
            limit=self.limit,
            max_orbits=self.max_orbits,
            validation_share=self.validation_share,
            licences=self.licences,
            exclude=self.exclude,
        )
        return crystal_lesson(
            split,
            text_format=self.text_format,
            mixture=MIXTURES[self.mixture],
            weights=self.weights,
            variation=Variation(self.augment, self.substitute, self.made_up, self.aligned),
            seed=seed,
        )


@job(
    name="card",
    output_schema=CardDoc,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def write_card(training: Any, evaluations: Mapping[str, Any] | None = None) -> CardDoc:
    """Complete the card of a training with measured figures.

    Parameters
    ----------
    training
        A `TrainDoc`.
    evaluations
        Label of a measurement, and its `Evaluation`; one that failed is left out.

    Returns
    -------
    CardDoc
        The card; written beside the weights where their folder can be reached from here.
    """
    from crystalicl_jobflow.training.model_card import with_figures

    trained = TrainDoc.model_validate(training)
    rates = {
        label: Evaluation.model_validate(item).model_dump(mode="json")["rates"]
        for label, item in (evaluations or {}).items()
        if item is not None
    }
    card = with_figures(trained.card, {label: {"rates": item} for label, item in rates.items()})
    folder = Path(trained.folder)
    path = None
    if folder.is_dir() and trained.host == socket.gethostname():
        from crystalicl_jobflow.training.model_card import save_card

        path = str(save_card(folder, card))
    return CardDoc(card=card, path=path, rates=rates)


def own_folder(name: str) -> str:
    """Return a folder that no other job uses, also where jobs share their working folder."""
    this = CURRENT_JOB.job
    return safe_name(name) if this is None else f"{safe_name(name)}-{this.uuid[:8]}"


def settings_from(kind: type[Any], value: Any) -> Any:
    """Return settings that a database may have turned into a mapping."""
    if not isinstance(value, Mapping):
        return value
    names = {item.name for item in fields(kind)}
    return kind(**{name: item for name, item in value.items() if name in names})


def _instruction_file(data: Any, folder: Path) -> Path | None:
    """Return the instruction file that is given, or one of the instructions that are."""
    if isinstance(data, str | Path) and str(data).endswith(".jsonl"):
        return Path(data)
    if isinstance(data, InstructionsDoc):
        records, info = data.instructions, data.info
    elif isinstance(data, list) and data and _is_instruction(data[0]):
        records, info = [InstructionRecord.model_validate(item) for item in data], {}
    else:
        return None
    from crystalicl_jobflow.training.data.instruction_files import info_path

    path = folder / INSTRUCTIONS
    text = "".join(json.dumps(item.model_dump(mode="json")) + "\n" for item in records)
    write_text(path, text)
    write_json(info_path(path), info)
    return path


def _is_instruction(item: Any) -> bool:
    return isinstance(item, InstructionRecord) or (isinstance(item, Mapping) and "prompt" in item)


def _sources(data: Any) -> Any:
    from crystalicl_jobflow.training.provenance import DataFile

    found = data.data if isinstance(data, InstructionsDoc) else []
    return tuple(DataFile(**item.model_dump()) for item in found)


def _train_doc(maker: TrainMaker, result: Any, *, resumed: bool) -> TrainDoc:
    from crystalicl_jobflow.training.checkpoints import ARGUMENTS, read_log
    from crystalicl_jobflow.training.model_card import CARD, LORA_ARGUMENTS
    from crystalicl_jobflow.training.progress import CURVE
    from crystalicl_jobflow.training.provenance import read_data

    folder, state, lora = result.folder, result.state, maker.method == "lora"
    arguments = json.loads((folder / ARGUMENTS).read_text(encoding="utf-8"))
    losses = [line["loss"] for line in read_log(folder) if "loss" in line]
    adapter = json.loads((folder / LORA_ARGUMENTS).read_text(encoding="utf-8")) if lora else {}
    return TrainDoc(
        method=maker.method,
        base_model=maker.base_model if lora else None,
        folder=str(folder),
        model=str(folder / ("adapter" if lora else "model")),
        host=socket.gethostname(),
        finished=result.finished,
        stopped_early=state.stopped,
        resumed=resumed,
        num_instructions=arguments["instructions"],
        num_validation=arguments["validation_instructions"],
        num_left_out=state.left_out,
        steps=state.step,
        epochs=state.epoch,
        tokens=state.tokens,
        learned_tokens=state.learned_tokens,
        seconds=round(state.seconds, 1),
        loss=losses[-1] if losses else None,
        validation_loss=state.history[-1]["validation_loss"] if state.history else None,
        best_validation_loss=state.best_loss,
        best_step=state.best_step if state.best_loss is not None else None,
        history=state.history,
        data=[DataRecord(**asdict(item)) for item in read_data(folder)],
        settings=arguments["settings"],
        adapter_settings=adapter,
        versions=arguments["versions"],
        loss_curve=str(folder / CURVE) if (folder / CURVE).is_file() else None,
        card=(folder / CARD).read_text(encoding="utf-8"),
    )
