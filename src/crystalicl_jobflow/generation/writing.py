"""How crystal texts are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

from crystalicl_jobflow.schemas import SamplingParams, TreeSearch

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions


GroupSource = Literal["pool", "model"]
"""Where the space group comes from if none is asked for: drawn from the pool's distribution for
the formula, or left to the model."""


class WritingOptions(TypedDict, total=False):
    """The fields of `Writing` as keywords; those left out have its defaults."""

    sampling: SamplingParams | None
    text_format: str
    constrain: bool | ConstraintOptions
    template: str
    search: TreeSearch | None
    groups: GroupSource


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
    search
        Settings of the search that leads the texts to high rewards; None draws them at random.
        With a search the texts of a condition are its simulations, each drawn once.
    groups
        Where a formula is asked for without a space group: 'pool' draws the groups from what the
        pool tells of the formula, 'model' leaves them to the model. Without a pool the model
        decides in any case, and so it does in a search.

    Raises
    ------
    ValueError
        If there is a search and ``sampling.best_of`` is not 1.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    text_format: str = "sgs"
    constrain: bool | ConstraintOptions = True
    template: str = "crystalicl"
    search: TreeSearch | None = None
    groups: GroupSource = "pool"

    def __post_init__(self) -> None:
        if self.search is not None and self.sampling.best_of != 1:
            raise ValueError("a search keeps every text: best_of must be 1")

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

    def options(self) -> WritingOptions:
        """Return the fields as keywords."""
        return {
            "sampling": self.sampling,
            "text_format": self.text_format,
            "constrain": self.constrain,
            "template": self.template,
            "search": self.search,
            "groups": self.groups,
        }
