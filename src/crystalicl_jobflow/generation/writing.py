"""How crystal texts are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pydantic import ValidationError

from crystalicl_jobflow.schemas import SamplingParams, TreeSearch
from crystalicl_jobflow.utils.messages import validation_line

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

    @classmethod
    def read(cls, value: Writing | Mapping[str, Any]) -> Writing:
        """Return what was given, a mapping of fields as well.

        Parameters
        ----------
        value
            The fields of `SamplingParams` may stand beside those of `Writing`, as in
            ``{"temperature": 0.5}``.

        Raises
        ------
        ValueError
            If there is no such field, or it is neither; one line.
        """
        if isinstance(value, Writing):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(
                "writing must be a Writing or a mapping such as {'temperature': 0.5}, not"
                f" {type(value).__name__}"
            )
        own = {field.name for field in fields(cls)}
        given = {name: item for name, item in value.items() if name in own}
        drawn = {name: item for name, item in value.items() if name not in own}
        if drawn:
            given["sampling"] = read_sampling({**_sampling_fields(given.get("sampling")), **drawn})
        elif isinstance(given.get("sampling"), Mapping):
            given["sampling"] = read_sampling(given["sampling"])
        return cls(**given)

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


def read_sampling(value: SamplingParams | Mapping[str, Any]) -> SamplingParams:
    """Return sampling parameters, also from a mapping of their fields.

    Raises
    ------
    ValueError
        If there is no such field, it has an impossible value, or something else is given; one line.
    """
    if isinstance(value, SamplingParams):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(
            "sampling must be SamplingParams or a mapping such as {'temperature': 0.5}, got"
            f" {value!r}"
        )
    try:
        return SamplingParams(**value)
    except ValidationError as error:
        raise ValueError(f"sampling: {validation_line(error)}") from None


def _sampling_fields(value: SamplingParams | Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if value is None else read_sampling(value).model_dump(exclude_unset=True)
