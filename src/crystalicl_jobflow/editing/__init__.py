"""Editing crystals: a part of one is kept, the model writes the rest.

Every edit is a crystal text in which each field is given, restricted or free (see
`text.pattern`): substitution gives other elements, infilling leaves orbits out, mutation frees
cell and coordinates, completion gives a beginning.
"""

from __future__ import annotations

from crystalicl_jobflow.editing.edit import edit_crystals, plan_edits, write_edits
from crystalicl_jobflow.editing.parents import EditError, Parent, read_parents

__all__ = [
    "EditError",
    "Parent",
    "edit_crystals",
    "plan_edits",
    "read_parents",
    "write_edits",
]
