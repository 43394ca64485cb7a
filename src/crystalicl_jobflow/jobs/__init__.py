"""One Maker per step: arguments in, a document out.

Every Maker takes one document or a list of them, or references to the outputs of other
jobs. Texts and structures go into the additional store ``data``, so a job store needs one
of that name.
"""

from __future__ import annotations

from crystalicl_jobflow.jobs.edit import EditMaker
from crystalicl_jobflow.jobs.evaluate import EvaluateMaker
from crystalicl_jobflow.jobs.generate import GenerateMaker, gather_generations
from crystalicl_jobflow.jobs.grpo import GRPOMaker
from crystalicl_jobflow.jobs.instructions import InstructionsMaker
from crystalicl_jobflow.jobs.relax import RelaxMaker
from crystalicl_jobflow.jobs.relaxations import gather_relaxations, relax_each, relax_together
from crystalicl_jobflow.jobs.retrieve import RetrieveMaker
from crystalicl_jobflow.jobs.select import SelectMaker, summarize_discovery
from crystalicl_jobflow.jobs.train import TrainMaker, write_card
from crystalicl_jobflow.jobs.validate import ValidateMaker

__all__ = [
    "EditMaker",
    "EvaluateMaker",
    "GRPOMaker",
    "GenerateMaker",
    "InstructionsMaker",
    "RelaxMaker",
    "RetrieveMaker",
    "SelectMaker",
    "TrainMaker",
    "ValidateMaker",
    "gather_generations",
    "gather_relaxations",
    "relax_each",
    "relax_together",
    "summarize_discovery",
    "write_card",
]
