"""What one row of a benchmark's table asks for: all that decides its figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from crystalicl_jobflow.benchmarks.simulated_patterns import PatternSimulation
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.generation.writing import GroupSource, Writing
from crystalicl_jobflow.retrieval.groups import group_weights
from crystalicl_jobflow.schemas import Condition, SamplingParams, Strategy
from crystalicl_jobflow.schemas.base import Document
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.utils.hashing import file_hash
from crystalicl_jobflow.utils.redaction import refuse_secrets

if TYPE_CHECKING:
    from crystalicl_jobflow.energies import PropertyPredictor
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.selection.evidence_energies import EvidenceEnergies

Kind = Literal["conditional", "unconditional", "prediction"]

DATA_SETS = ("mp_20", "mpts_52", "perov_5", "carbon_24")
"""Data sets that have a name; a file belongs to the one that its name begins with."""

DEFAULT_CONDITIONS: dict[str, tuple[str, ...]] = {
    "mp_20": ("formula", "space_group", "formation_energy_per_atom", "band_gap"),
    "mpts_52": ("formula", "space_group", "formation_energy_per_atom"),
    "perov_5": ("formula", "space_group"),
    "carbon_24": ("formula", "space_group"),
}
"""What is asked of the crystals of each data set: as CrystalICL, appendix C; MPTS-52 has no
band gaps."""


MAX_SLUG = 100
"""Most characters of a run's folder name; a file system takes 255 bytes."""


class ModelChoice(Document):
    """A model, and where it runs."""

    base_model: str = Field(default_factory=lambda: SETTINGS.MODEL)
    adapter: str | None = Field(default_factory=lambda: SETTINGS.ADAPTER)
    revision: str | None = None
    adapter_revision: str | None = None
    allow_other_base: bool = Field(
        False, description="Whether to take an adapter that was made for another base model."
    )
    device: str = Field(default_factory=lambda: SETTINGS.DEVICE)
    dtype: str = "auto"
    quantization: str | None = None
    batch_size: int = Field(default_factory=lambda: SETTINGS.BATCH_SIZE)
    num_threads: int | None = Field(default_factory=lambda: SETTINGS.NUM_THREADS)
    server: dict[str, Any] = Field(
        default_factory=dict, description="Options of a model server, where the model is on one."
    )

    def load(self) -> TextGenerator:
        """Load the model, or return the one that this process has loaded."""
        from crystalicl_jobflow import generation

        options = self.model_dump(exclude={"base_model", "adapter"})
        return generation.load_generator(self.base_model, self.adapter, **options)

    def identity(self) -> dict[str, Any]:
        """Return what decides the model's texts, with hashes of weights in folders."""
        from crystalicl_jobflow.generation.model_places import model_hashes

        return {
            "base": self.base_model,
            "adapter": self.adapter,
            **model_hashes(self.base_model, self.adapter),
            "revision": self.revision,
            "adapter_revision": self.adapter_revision,
            "dtype": None if self.dtype == "auto" else self.dtype,
            "quantization": self.quantization,
            **self._server_identity(),
        }

    def _server_identity(self) -> dict[str, Any]:
        """Return what of a server's options decides its texts."""
        from crystalicl_jobflow.generation.http_engine import ServerOptions, is_server

        if not is_server(self.base_model):
            return {}
        options = ServerOptions.build(self.server)
        return {"server": options.model_dump(include={"kind", "endpoint", "grammar", "extra"})}


class BenchmarkSetting(Document):
    """One row of a table: what is asked of which model with which demonstrations."""

    label: str = Field("", description="Name of the row.")
    kind: Kind = "conditional"
    dataset: str = Field(description="Source of the true crystals.")
    condition: list[str] = Field(default_factory=lambda: ["formula", "space_group"])
    limit: int | None = Field(None, description="Conditions drawn; None for all.")
    samples: int = Field(1, ge=1, description="Texts per condition, or in all without any.")
    pool: str | None = Field(None, description="Demonstrations; None for the prototypes.")
    shots: int = Field(0, ge=0, le=5)
    strategy: Strategy = "C"
    sampling: SamplingParams = Field(
        default_factory=SamplingParams, description="Its seed is replaced by the run's."
    )
    text_format: str = "sgs"
    template: str = "crystalicl"
    groups: GroupSource = Field(
        "pool", description="Where space groups come from if a formula is asked for without one."
    )
    constrain: Any = Field(True, description="True, False or fields of ConstraintOptions.")
    rankings: list[str] = Field(
        default_factory=list,
        description="Rankings of a prediction's samples, each one name or several with commas;"
        " none: the default one of a selection.",
    )
    energies: dict[str, Any] | None = Field(
        None,
        description="Fields of EvidenceEnergies: energies as evidence in rankings; None"
        " for no energies.",
    )
    xrd: PatternSimulation | None = Field(
        None,
        description="How powder patterns of the true crystals are simulated, that samples are"
        " ranked by; None for no patterns.",
    )
    predictors: dict[str, str | None] = Field(
        default_factory=dict, description="Property → model, None for the default one."
    )
    coverage: str | None = Field(None, description="Data set whose cut-offs coverage takes.")
    known: str | None = Field(None, description="Crystals that novelty is against.")
    unique: bool = Field(
        True,
        description="Whether the crystals are compared with each other; those of one formula each"
        " with each.",
    )
    model: ModelChoice = Field(default_factory=ModelChoice)

    @property
    def data_set_name(self) -> str:
        """Name of the data set, or the file's name where it is not known."""
        return data_set_name(self.dataset)

    @property
    def templates(self) -> int:
        """Known crystals per condition that the model needs for substitution."""
        from crystalicl_jobflow.generation.loading import templates_needed

        return templates_needed(self.model.base_model, self.samples)

    @property
    def uses_pool(self) -> bool:
        """Whether anything is taken from the pool."""
        return bool(self.shots or self.templates or self.groups_offered)

    @property
    def groups_offered(self) -> int:
        """Space groups that are offered for each formula, 0 where none are drawn."""
        from crystalicl_jobflow.pipeline import groups_needed

        if self.pool is None or self.groups != "pool" or "formula" not in self.condition:
            return 0
        if "space_group" in self.condition or self.kind == "unconditional":
            return 0
        return groups_needed([Condition(formula="C")], self.samples)

    @property
    def ranked_by(self) -> dict[str, tuple[str, ...] | None]:
        """The rankings by name; None for the default one of a selection, named ''."""
        return {name: tuple(name.split(",")) for name in self.rankings} or {"": None}

    @property
    def evidence_energies(self) -> EvidenceEnergies:
        """How energies are computed.

        Raises
        ------
        ValueError
            If a field does not exist.
        """
        from crystalicl_jobflow.selection.evidence_energies import EvidenceEnergies

        try:
            return EvidenceEnergies(**(self.energies or {}))
        except TypeError as error:
            raise ValueError(f"energies: {error}") from None

    @property
    def slug(self) -> str:
        """The label as a folder's name."""
        return label_slug(self.label)

    def identity(self, seed: int) -> dict[str, Any]:
        """Return all that decides the figures of a run, as plain data.

        Parameters
        ----------
        seed
            The run's seed.
        """
        from crystalicl_jobflow.energies import predictor_versions

        more: dict[str, Any] = {"kind": self.kind} if self.kind == "unconditional" else {}
        if not self.unique:
            more["unique"] = False
        if self.rankings:
            more |= {"rankings": list(self.rankings), **ranking_identity(self.rankings)}
        if self.groups_offered:
            weights = group_weights(SETTINGS.GROUP_WEIGHTS)
            more["groups"] = {**vars(weights), "source": self.groups}
            del more["groups"]["origin"]
        if self.xrd is not None:
            more["xrd"] = self.xrd.model_dump(mode="json")
        if self.energies is not None:
            model = self.evidence_energies.load()
            more["energies"] = {**self.energies, "version": model.version}
        return {
            **more,
            "dataset": Path(self.dataset).name,
            "dataset_sha256": file_hash(self.dataset),
            "condition": list(self.condition) if self.kind != "unconditional" else None,
            "limit": self.limit,
            "samples": self.samples,
            "seed": seed,
            "shots": self.shots,
            "strategy": self.strategy if self.shots else None,
            "pool": lasting_path(self.pool) if self.uses_pool else None,
            "text_format": self.text_format,
            "template": self.template,
            "constrain": self.constrain,
            "sampling": self.sampling.model_copy(update={"seed": seed}).model_dump(),
            "model": self.model.identity(),
            "coverage": self.coverage,
            "known": lasting_path(self.known),
            **predictor_versions(self.load_predictors()),
        }

    def writing(self, seed: int) -> Writing:
        """Return how the texts of a run are written."""
        constrain = self.constrain
        if isinstance(constrain, dict):
            from crystalicl_jobflow.generation.constraints import ConstraintOptions

            constrain = ConstraintOptions(**constrain)
        return Writing(
            self.sampling.model_copy(update={"seed": seed}),
            text_format=self.text_format,
            constrain=constrain,
            template=self.template,
            groups=self.groups,
        )

    def evaluation(self, *, processes: int = 1, cache: Any = None) -> EvaluationOptions:
        """Return what is computed over a run."""
        return EvaluationOptions(
            unique=self.unique and self.kind != "prediction",
            coverage=self.coverage,
            novelty=self.known is not None,
            cache=cache,
            processes=processes,
        )

    def load_predictors(self) -> list[PropertyPredictor]:
        """Load the models of properties.

        Raises
        ------
        ValueError
            If one does not exist; one line.
        """
        from crystalicl_jobflow.energies import load_predictor

        return [load_predictor(name, model) for name, model in self.predictors.items()]


def label_slug(label: str) -> str:
    """Return a row's label as the name of the folder that its runs lie in."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.")[:MAX_SLUG] or "run"


def ranking_identity(rankings: Sequence[str]) -> dict[str, Any]:
    """Return what decides rankings beside their names: the weights of the evidence.

    Raises
    ------
    ValueError
        If a ranking is not known; one line.
    """
    from crystalicl_jobflow.selection.evidence import shipped_weights
    from crystalicl_jobflow.selection.ranking import EVIDENCE, parse_ranking

    names = [part for name in rankings for part in name.split(",")]
    parse_ranking(names)
    if EVIDENCE not in {name.removeprefix("-") for name in names}:
        return {}
    weights = shipped_weights(SETTINGS.EVIDENCE_WEIGHTS)
    return {
        "evidence_weights": {
            "without_energy": dict(weights.without_energy),
            "with_energy": dict(weights.with_energy),
        }
    }


def data_set_name(path: str | Path) -> str:
    """Return the name of the data set that a file is of, e.g. ``mp_20``.

    The beginning of the file's name decides; another file keeps its own name.
    """
    name = Path(path).name.lower().replace("-", "_")
    found = next((known for known in DATA_SETS if name.startswith(known)), None)
    return found or name.split(".")[0]


def lasting_path(path: str | None) -> str | None:
    """Return a path that means the same in another folder and process; other names as they are.

    Raises
    ------
    ValueError
        If it is a URI with a password, which would be stored with the jobs.
    """
    refuse_secrets(path, "the store")
    if path is None or "://" in path or not Path(path).expanduser().exists():
        return path
    return str(Path(path).expanduser().absolute())
