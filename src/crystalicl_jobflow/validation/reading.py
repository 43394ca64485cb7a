"""Reading what a model wrote, naming where it came from, and reading what became of it."""

from __future__ import annotations

from pymatgen.core import Structure

from crystalicl_jobflow.schemas import FailureReason
from crystalicl_jobflow.utils.messages import first_line


def read_text(
    text: str, text_format: str, *, finished: bool = True
) -> tuple[Structure | None, int | None, tuple[FailureReason, str] | None]:
    """Read a model's text.

    Parameters
    ----------
    text
        What the model wrote.
    text_format
        Name of the format, e.g. ``sgs``.
    finished
        Whether the model ended the text by itself. A text that it did not end was cut off,
        whatever the reader's complaint: more sites may have followed.

    Returns
    -------
    structure, declared_space_group, failure
        No structure exactly when there is a failure. The declared group is None for
        formats that declare none.
    """
    from crystalicl_jobflow.text import TextError
    from crystalicl_jobflow.text.formats import get_text

    text_type = get_text(text_format)
    try:
        parsed = text_type.read(text)
    except TextError as error:
        reason, message, declared = error.reason, str(error), error.declared_group
        if not finished and reason is not FailureReason.EMPTY:
            return None, declared, (FailureReason.TRUNCATED, f"The text was cut off ({message}).")
        return None, declared, (reason, message)
    except Exception as error:
        # A reader that fails in an unforeseen way must not take the whole batch with it.
        message = f"the text cannot be read: {type(error).__name__}: {first_line(error)}"
        return None, None, (FailureReason.INTERNAL, message)
    if not finished:
        message = "The text was cut off (what there is reads as a crystal)."
        return None, parsed.declared_group, (FailureReason.TRUNCATED, message)
    return parsed.structure, parsed.declared_group, None


def declares_space_group(text_format: str) -> bool:
    """Tell whether texts of a format state their space group."""
    from crystalicl_jobflow.text.formats import get_text

    return get_text(text_format).declares_group
