"""The job that tunes a model by GRPO."""

from __future__ import annotations

import logging
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Maker, job
from monty.json import jsanitize

from crystalicl_jobflow.jobs._inputs import without_secrets
from crystalicl_jobflow.jobs.train import own_folder, settings_from
from crystalicl_jobflow.schemas.training import DataRecord, GRPODoc
from crystalicl_jobflow.training.grpo.settings import GRPOSettings
from crystalicl_jobflow.training.lora import LoraSettings

logger = logging.getLogger(__name__)


@dataclass
class GRPOMaker(Maker):
    """Tune a model by GRPO: texts that are better than their group become more probable.

    Runs on a worker with a GPU, or without one for small models. The weights stay in the job's
    folder on the worker. A job that is run again with the same ``folder`` continues from the last
    checkpoint.

    Parameters
    ----------
    name
        Name of the job.
    base_model
        Model that is tuned, or the base of the adapter: name on the Hugging Face hub, folder, or
        'embedded'.
    adapter
        Folder of an adapter that is tuned further; None for a new one.
    whole
        Whether all weights are tuned instead of an adapter.
    reward
        'crystext', 'match', 'energy:POTENTIAL' or 'module:function', see
        `crystalicl_jobflow.training.grpo.find_reward`.
    settings
        How it runs.
    lora
        The new adapter, and precision and device of the model.
    folder
        Where the training lives on the worker; None for the job's own folder.
    text_format
        Format of the texts.
    exclude, validation_share, max_orbits, limit, cache
        As for `TrainMaker`.
    """

    name: str = "grpo"
    base_model: str = "embedded"
    adapter: str | None = None
    whole: bool = False
    reward: str = "crystext"
    settings: GRPOSettings = field(default_factory=GRPOSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    folder: str | None = None
    text_format: str = "sgs"
    exclude: list[str] = field(default_factory=list)
    validation_share: float = 0.02
    max_orbits: int | None = 12
    limit: int | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        self.settings = settings_from(GRPOSettings, self.settings)
        self.lora = settings_from(LoraSettings, self.lora)
        if self.whole and self.adapter is not None:
            raise ValueError("tune an adapter or the whole model, not both")

    def as_dict(self) -> dict[str, Any]:
        """Return the Maker as plain data."""
        plain: dict[str, Any] = jsanitize(super().as_dict(), strict=True)
        return plain

    @without_secrets("data")
    @job(output_schema=GRPODoc)
    def make(self, data: Any) -> GRPODoc:
        """Tune the model.

        Parameters
        ----------
        data
            CSV files, pools or folders of CIF files that the worker can reach, one or a list.

        Returns
        -------
        GRPODoc
            Where the weights are, the rewards, figures before and after, and the card.
        """
        from crystalicl_jobflow.training.checkpoints import read_log
        from crystalicl_jobflow.training.grpo import find_reward
        from crystalicl_jobflow.training.grpo.curves import REWARD_CURVE
        from crystalicl_jobflow.training.grpo.recipe import Start, grpo_recipe
        from crystalicl_jobflow.training.lora import check_lora
        from crystalicl_jobflow.training.model_card import CARD
        from crystalicl_jobflow.training.provenance import read_data
        from crystalicl_jobflow.training.recipes import load_split

        start = Start(self.base_model, self.adapter, self.whole, self.lora)
        reward = find_reward(self.reward)
        check_lora(self.lora)
        folder = Path(self.folder or own_folder(self.name)).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        split = load_split(
            data if isinstance(data, list | tuple) else [data],
            validation_share=self.validation_share,
            exclude=self.exclude,
            max_orbits=self.max_orbits,
            limit=self.limit,
            cache=self.cache,
            workers=self.settings.workers,
        )
        result = grpo_recipe(
            split,
            start,
            folder,
            reward=reward,
            reward_name=self.reward,
            settings=self.settings,
            text_format=self.text_format,
            progress=lambda line: logger.info("%s: %s", self.name, line),
        )
        curve = folder / REWARD_CURVE
        return GRPODoc(
            base_model=self.base_model,
            adapter=self.adapter,
            reward=self.reward,
            folder=str(folder),
            model=str(folder / ("model" if self.whole else "adapter")),
            host=socket.gethostname(),
            steps=result.state.step,
            tokens=result.state.tokens,
            seconds=round(result.state.seconds, 1),
            before=result.before,
            after=result.after,
            rewards=[line["reward"] for line in read_log(folder) if "reward" in line],
            settings=asdict(self.settings),
            data=[DataRecord(**asdict(item)) for item in read_data(folder)],
            reward_curve=str(curve) if curve.is_file() else None,
            card=(folder / CARD).read_text(encoding="utf-8"),
        )
