"""The errors of this package, and how they are related.

::

    CrystalICLError
    ├── schemas.ConditionError                              (ValueError)
    ├── generation.constraints.ImpossibleConditionError     (ValueError)
    ├── generation.GenerationError                          (RuntimeError)
    ├── text.TextError                                      (ValueError)
    ├── text.PatternError                                   (ValueError)
    ├── stores.ForbiddenCriteriaError                       (ValueError)
    ├── submission.FlowFileError                            (ValueError)
    ├── editing.parents.EditError                       (ValueError)
    ├── submission.ready_made.ReadyMadeError            (ValueError)
    ├── web.work.FullError                              (RuntimeError)
    └── utils.parallel.WorkerDiedError                      (RuntimeError)

Each is also the built-in error in brackets, so that ``except ValueError`` catches it. An
argument that makes no sense, or a file that cannot be read, is a plain ``ValueError``; a
missing extra is an ``ImportError`` that says what to install.
"""

from __future__ import annotations


class CrystalICLError(Exception):
    """Base of all errors of this package; the message is one line that says what and where.

    Examples
    --------
    >>> from crystalicl_jobflow.schemas import Condition
    >>> from crystalicl_jobflow.utils.errors import CrystalICLError
    >>> try:
    ...     Condition.build(formula="CaXx3")
    ... except CrystalICLError as error:
    ...     print(error)
    formula CaXx3: Xx is not an element
    """
