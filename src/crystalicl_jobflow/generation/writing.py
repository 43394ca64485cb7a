"""How crystal texts are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from crystalicl_jobflow.schemas import SamplingParams

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions


class WritingOptions(TypedDict, total=False):
    """The fields of `Writing` as keywords; those left out have its defaults."""

    sampling: SamplingParams | None
    text_format: str
    constrain: bool | ConstraintOptions
    template: str


@dataclass(frozen=True)
class Writing:
    """How crystal texts are written.

    Parameters
    ----------
    sampling
        Temperature, nucleus, limits and seed.
    text_format
        Format of the texts: 'sgs', 'sgsw', 'xyz' or 'cif'.
    constrain
        Whether texts are constrained to their condition during generation, and how.
    template
        Words of the prompts: 'crystalicl' or 'alpaca'.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    text_format: str = "sgs"
    constrain: bool | ConstraintOptions = True
    template: str = "crystalicl"

    @classmethod
    def from_options(cls, options: WritingOptions) -> Writing:
        """Build it from keywords; no sampling (None) means the default one.

        Raises
        ------
        TypeError
            If there is no such option.
        """
        given = dict(options)
        if given.get("sampling") is None:
            given.pop("sampling", None)
        return cls(**given)  # type: ignore[arg-type]  # a TypedDict's values lose their types here
