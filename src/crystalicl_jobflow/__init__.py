"""In-context crystal generation as jobflow Jobs, Makers and Flows.

The path in one call, and its parts one at a time:

>>> from crystalicl_jobflow import generate
>>> crystals = generate("CaTiO3", space_group=221, samples=8)  # doctest: +SKIP
>>> crystals.structures, crystals.evaluate().rates["joint"]  # doctest: +SKIP

Names are imported when they are first used: importing the package is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystalicl_jobflow.utils.lazy_names import lazy_names
from crystalicl_jobflow.utils.versions import __version__

if TYPE_CHECKING:
    from crystalicl_jobflow.evaluation import evaluate
    from crystalicl_jobflow.flows import (
        BenchmarkFlowMaker,
        CrystalGenerationFlowMaker,
        DiscoveryFlowMaker,
        TrainFlowMaker,
    )
    from crystalicl_jobflow.generation import load_generator
    from crystalicl_jobflow.jobs import (
        EditMaker,
        EvaluateMaker,
        GenerateMaker,
        InstructionsMaker,
        RelaxMaker,
        RetrieveMaker,
        SelectMaker,
        TrainMaker,
        ValidateMaker,
    )
    from crystalicl_jobflow.notebook import edit, generate
    from crystalicl_jobflow.retrieval import open_pool, retrieve
    from crystalicl_jobflow.schemas import Condition
    from crystalicl_jobflow.selection import select_candidates as select
    from crystalicl_jobflow.text import CIF, SGS, SGSW, XYZ
    from crystalicl_jobflow.validation import validate_structure as validate

_PLACES = {
    "CIF": "text",
    "SGS": "text",
    "SGSW": "text",
    "XYZ": "text",
    "BenchmarkFlowMaker": "flows",
    "Condition": "schemas",
    "CrystalGenerationFlowMaker": "flows",
    "DiscoveryFlowMaker": "flows",
    "EditMaker": "jobs",
    "EvaluateMaker": "jobs",
    "GenerateMaker": "jobs",
    "InstructionsMaker": "jobs",
    "RelaxMaker": "jobs",
    "RetrieveMaker": "jobs",
    "SelectMaker": "jobs",
    "TrainFlowMaker": "flows",
    "TrainMaker": "jobs",
    "ValidateMaker": "jobs",
    "edit": "notebook",
    "evaluate": "evaluation",
    "generate": "notebook",
    "load_generator": "generation",
    "open_pool": "retrieval",
    "retrieve": "retrieval",
    "select": "selection:select_candidates",
    "validate": "validation:validate_structure",
}
"""Public name to its room, with its name there where it is another."""

__all__ = [
    "CIF",
    "SGS",
    "SGSW",
    "XYZ",
    "BenchmarkFlowMaker",
    "Condition",
    "CrystalGenerationFlowMaker",
    "DiscoveryFlowMaker",
    "EditMaker",
    "EvaluateMaker",
    "GenerateMaker",
    "InstructionsMaker",
    "RelaxMaker",
    "RetrieveMaker",
    "SelectMaker",
    "TrainFlowMaker",
    "TrainMaker",
    "ValidateMaker",
    "__version__",
    "edit",
    "evaluate",
    "generate",
    "load_generator",
    "open_pool",
    "retrieve",
    "select",
    "validate",
]


__getattr__ = lazy_names(__name__, _PLACES)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
