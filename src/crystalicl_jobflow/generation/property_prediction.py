"""Properties of given crystals, predicted by the language model that writes crystals.

CrystalICL's auxiliary task (section 3.3): the property is masked in a description of the
crystal, and the model writes the number.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.given import is_crystal
from crystalicl_jobflow.generation.base import GenerationRequest, TextGenerator
from crystalicl_jobflow.generation.constraints.number import NumberConstraint
from crystalicl_jobflow.generation.writing import Writing, WritingOptions
from crystalicl_jobflow.prompts import property_prompt, property_response
from crystalicl_jobflow.schemas import PROPERTIES, SamplingParams, find_property
from crystalicl_jobflow.schemas.predictions import (
    PropertyAnswer,
    PropertyFailure,
    PropertyPrediction,
)
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from ase import Atoms

    from crystalicl_jobflow.schemas import Completion, PropertySpec

GREEDY = SamplingParams(top_k=1, max_new_tokens=16, max_redraws=0)
"""The most likely token at every place: one answer, the same for every seed."""

DRAWN = SamplingParams(temperature=0.7, top_p=1.0, max_new_tokens=16, max_redraws=0)
"""For the median of several answers."""

MESSAGES = {
    PropertyFailure.NOT_READ: "the crystal cannot be read",
    PropertyFailure.NOT_ENCODABLE: "the crystal cannot be written as text",
    PropertyFailure.EMPTY: "the model wrote nothing",
    PropertyFailure.TRUNCATED: "the model did not come to an end",
    PropertyFailure.NOT_A_NUMBER: "the model wrote no number",
    PropertyFailure.OUT_OF_RANGE: "the number is below the property's least value",
}
"""Description of each reason."""


def predict_property(
    crystals: Mapping[str, Any] | Sequence[Any] | Structure | Atoms,
    property_name: str,
    generator: TextGenerator | Callable[[], TextGenerator],
    *,
    samples: int = 1,
    symprec: float = 0.1,
    progress: Progress | None = None,
    **writing: Unpack[WritingOptions],
) -> list[PropertyPrediction]:
    """Predict a property of crystals with a language model.

    Parameters
    ----------
    crystals
        By name: structures, ASE atoms, structures' dictionaries, or CIF texts. Or a list of them,
        whose names are their places from 0, or one structure or atoms.
    property_name
        Name or alias of a registered property.
    generator
        The language model, or a function that loads it.
    samples
        Number of answers for each crystal; the prediction is the median of their values.
    symprec
        Symmetry tolerance of the text in Å.
    progress
        Called with the number of finished answers and the total number.
    **writing
        Fields of `Writing`: ``sampling``, how answers are drawn (the most likely one, `GREEDY`,
        where it is left out, or `DRAWN` where there are several); ``text_format`` and
        ``template``, in which the model is shown the crystal; ``constrain``, whether it can
        write nothing but a number that the property can have.

    Returns
    -------
    list of PropertyPrediction
        One per crystal, in order. A crystal that cannot be read or an answer that is not a number
        gives no value but a reason. The answers depend only on the model, the crystal, the
        sampling parameters and the sample number.

    Raises
    ------
    ValueError
        If property, format or template is unknown, or the number of samples is not positive.
    """
    from crystalicl_jobflow.generation import package_versions

    spec = find_property(property_name)
    if spec is None:
        raise ValueError(
            f"property {property_name!r} is not known; there are {', '.join(PROPERTIES)}"
        )
    samples = whole_number(samples, "number of samples")
    style = Writing.from_options(writing)
    text_format, template = style.text_format, style.template
    property_prompt(spec.name, "", template=template)  # reports an unknown template at once
    sampling = writing.get("sampling") or (GREEDY if samples == 1 else DRAWN)
    predictions = [
        _prepared(name, crystal, spec, text_format=text_format, template=template, symprec=symprec)
        for name, crystal in _named(crystals).items()
    ]
    asked = [item for item in predictions if item.reason is None]
    constraint = None
    if style.constrain:
        constraint = NumberConstraint(
            lead=property_response("", template=template),
            decimals=spec.decimals,
            negative=spec.minimum is None or spec.minimum < 0,
        )
    requests = [
        GenerationRequest(
            prompt=item.prompt,
            num_samples=samples,
            key=text_hash(item.prompt)[:16],
            constraint=constraint,
        )
        for item in asked
    ]
    if callable(generator):
        generator = generator()
    answers = generator.generate(requests, sampling, progress=progress)
    versions = package_versions()
    for item, completions in zip(asked, answers, strict=True):
        item.answers = [read_answer(completion, spec) for completion in completions]
        values = [answer.value for answer in item.answers if answer.value is not None]
        if values:
            item.value = statistics.median(values)
        else:
            item.reason = item.answers[0].reason
    for item in predictions:
        item.constraint = None if constraint is None else constraint.describe()
        item.sampling, item.model, item.versions = sampling, generator.info, versions
        if item.reason is not None and item.message is None:
            item.message = MESSAGES[item.reason]
    return predictions


def _named(crystals: Any) -> Mapping[str, Any]:
    """Return crystals by their names."""
    if isinstance(crystals, Mapping):
        return crystals
    given = [crystals] if is_crystal(crystals) or isinstance(crystals, str) else crystals
    return {str(place): crystal for place, crystal in enumerate(given)}


def read_answer(completion: Completion, spec: PropertySpec) -> PropertyAnswer:
    """Read the number in what a model wrote.

    The text must be the number alone, apart from blanks and the property's unit.

    Parameters
    ----------
    completion
        The text, and whether the model ended it.
    spec
        The property.
    """
    text = completion.text
    reason: PropertyFailure | None = None
    value = None
    bare = text.strip().removesuffix(".").removesuffix(spec.unit).strip()
    if not bare:
        reason = PropertyFailure.EMPTY
    elif not completion.finished:
        reason = PropertyFailure.TRUNCATED
    elif not re.fullmatch(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", bare):
        reason = PropertyFailure.NOT_A_NUMBER
    else:
        value = float(bare)
        if not math.isfinite(value) or (spec.minimum is not None and value < spec.minimum):
            value, reason = None, PropertyFailure.OUT_OF_RANGE
    return PropertyAnswer(text=text, value=value, reason=reason)


def _prepared(
    name: str,
    crystal: Any,
    spec: PropertySpec,
    *,
    text_format: str,
    template: str,
    symprec: float,
) -> PropertyPrediction:
    """Return a prediction with its prompt, or with the reason why there is no prompt."""
    from crystalicl_jobflow.datasets.records import read_crystal
    from crystalicl_jobflow.text import SGS
    from crystalicl_jobflow.text.formats import WRITTEN_FORMATS, crystal_text

    if text_format not in WRITTEN_FORMATS:
        raise ValueError(f"text format {text_format!r} is not one of {', '.join(WRITTEN_FORMATS)}")
    prediction = PropertyPrediction(
        crystal_id=name,
        property_name=spec.name,
        unit=spec.unit,
        text_format=text_format,
        template=template,
    )
    try:
        structure = read_crystal(crystal)
        prediction.formula = crystal_composition(structure).reduced_formula
    except Exception as error:  # an error in one crystal must not affect the others
        prediction.reason = PropertyFailure.NOT_READ
        prediction.message = f"{MESSAGES[PropertyFailure.NOT_READ]}: {one_line(error)}"
        return prediction
    try:
        text = crystal_text(SGS.analyze(structure, symprec), text_format)
    except Exception as error:
        prediction.reason = PropertyFailure.NOT_ENCODABLE
        prediction.message = f"{MESSAGES[PropertyFailure.NOT_ENCODABLE]}: {one_line(error)}"
        return prediction
    prediction.prompt = property_prompt(spec.name, text, template=template)
    return prediction
