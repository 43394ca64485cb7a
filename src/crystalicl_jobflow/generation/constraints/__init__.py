"""Constrained decoding: symmetry and composition by construction.

While a model writes a crystal, only tokens are offered that can still become one with
the requested formula, space group and number of atoms.

>>> from crystalicl_jobflow.schemas import Condition
>>> constraint = build_constraint(Condition(formula="CaTiO3", space_group=221))
>>> print(constraint.describe())  # doctest: +ELLIPSIS
sgs syntax; formula CaTiO3; space group 221; at most 60 atoms; ...
>>> impossible = Condition(formula="CaTiO3", space_group=227, num_sites=5)
>>> build_constraint(impossible)  # doctest: +IGNORE_EXCEPTION_DETAIL
Traceback (most recent call last):
ImpossibleConditionError: CaTiO3 cannot be built in space group 227 with exactly 5 atoms ...
"""

from __future__ import annotations

from crystalicl_jobflow.generation.constraints.constraint import (
    SGSConstraint,
    build_constraint,
    check_feasible,
)
from crystalicl_jobflow.generation.constraints.finished_text import symmetry_accept
from crystalicl_jobflow.generation.constraints.options import (
    ConstraintOptions,
    ImpossibleConditionError,
)
from crystalicl_jobflow.generation.constraints.text_state import SGSState

__all__ = [
    "ConstraintOptions",
    "ImpossibleConditionError",
    "SGSConstraint",
    "SGSState",
    "build_constraint",
    "check_feasible",
    "symmetry_accept",
]
