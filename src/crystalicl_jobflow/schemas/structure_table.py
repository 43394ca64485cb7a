"""What an evaluation writes: its files, and the columns of the table of structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

METRICS_FILE: Final = "metrics.json"
"""Sums: rates with counts, denominators and intervals, figures, tolerances, provenance."""

STRUCTURES_CSV: Final = "structures.csv"
"""One row per candidate, columns as :data:`STRUCTURE_COLUMNS` names them."""

STRUCTURES_PARQUET: Final = "structures.parquet"
"""The same table as :data:`STRUCTURES_CSV`."""

CANDIDATES_FILE: Final = "candidates.jsonl"
"""One candidate document per line, in the order of the table's rows."""

SUCCESS_PREFIX: Final = "success_"
"""Columns of what was asked for: ``success_formula``, ``success_band_gap``, …"""

Kind = Literal["string", "integer", "number", "flag"]


@dataclass(frozen=True)
class Column:
    """One column of the table of structures.

    Parameters
    ----------
    name
        Its name in every file.
    kind
        What its cells hold; every kind may be empty. A flag is true or false.
    description
        What it says.
    unit
        Unit of a number; empty without one.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ""


_COLUMNS = (
    # which candidate, and what was asked
    Column("candidate_id", "string", "Key of the candidate document."),
    Column("request_index", "integer", "Which condition of the run, from 0."),
    Column("sample_index", "integer", "Which sample of that condition, from 0."),
    Column("asked", "string", "What was asked for, in words."),
    Column("text_format", "string", "Format of the text."),
    # what it is
    Column("formula_pretty", "string", "Reduced formula."),
    Column("formula_anonymous", "string", "Anonymised formula."),
    Column("chemsys", "string", "Chemical system."),
    Column("nsites", "integer", "Atoms in the cell of the structure."),
    Column("nsites_primitive", "integer", "Atoms in the primitive cell."),
    Column("density", "number", "Density.", "g/cm³"),
    Column("volume", "number", "Volume of the cell.", "Å³"),
    Column("min_distance", "number", "Shortest distance between two atoms.", "Å"),
    Column("declared_space_group", "integer", "Group that the text declares."),
    Column("space_group", "integer", "Group found."),
    Column("space_group_symbol", "string", "Its short Hermann–Mauguin symbol."),
    # checks
    Column("parsed", "flag", "The text is one crystal."),
    Column("valid", "flag", "Both structural rules and the composition rule are met."),
    Column("structure_valid", "flag", "CDVAE: distances ≥ 0.5 Å and volume ≥ 0.1 Å³."),
    Column("structure_valid_radii", "flag", "No overlap of atomic radii (CrystalICL)."),
    Column("composition_valid", "flag", "Charge-neutral under SMACT."),
    Column("symmetry_adherent", "flag", "The group found is the asked, else the declared one."),
    # CrystaLLM's and CrysText's own validity
    Column("formula_consistent", "flag", "CrystaLLM: the formulas in the text agree."),
    Column("multiplicity_consistent", "flag", "CrystaLLM: multiplicities add up to the cell."),
    Column("space_group_consistent", "flag", "CrystaLLM: the group found is the declared one."),
    Column("bond_length_score", "number", "CrystaLLM: share of reasonable bond lengths."),
    Column("bonds_reasonable", "flag", "CrystaLLM: every bond length is reasonable."),
    Column("crystallm_valid", "flag", "CrystaLLM: all of the above."),
    Column("crystext_valid", "flag", "CrysText: distances, volume and a space group found."),
    Column("crystext_reward", "number", "CrysText-RL's reward, where a formula was asked for."),
    # what was asked for: success_<name> come here
    Column("joint_success", "flag", "Everything asked for at once."),
    # against the truth
    Column("match", "flag", "Matches the true crystal of its condition."),
    Column("match_reduced", "flag", "Matches it with primitive reduction."),
    Column("rms", "number", "RMS displacement over (volume per atom)^(1/3)."),
    Column("matched_polymorph", "string", "Id of the reference of its composition it matches."),
    # within the set and against the reference set
    Column("unique", "flag", "First of its kind among the candidates."),
    Column("duplicate_of", "string", "Id of the candidate that it repeats."),
    Column("novel", "flag", "Matches no known crystal."),
    Column("known_as", "string", "Id of the known crystal that it matches."),
    Column("structure_distance", "number", "To the nearest reference, between fingerprints."),
    Column("composition_distance", "number", "To the nearest reference, between fingerprints."),
    Column("covers", "flag", "Within both cut-offs of coverage of a reference crystal."),
    Column("nearest_reference", "string", "Id of the reference nearest by structure."),
    Column("fingerprint_error", "string", "Why there is no fingerprint."),
    # energies
    Column("energy_per_atom", "number", "Potential energy.", "eV/atom"),
    Column("formation_energy_per_atom", "number", "Formation energy.", "eV/atom"),
    Column("energy_above_hull", "number", "Energy above the convex hull.", "eV/atom"),
    Column("no_hull_reason", "string", "Why the convex hull gives no verdict."),
    Column("band_gap", "number", "Band gap.", "eV"),
    Column("relaxed", "flag", "The relaxation converged; empty where none was made."),
    Column("energy_error", "string", "Why there is no energy."),
    Column("stable", "flag", "Energy above hull ≤ 0; empty where it was not judged."),
    Column("metastable", "flag", "Energy above hull ≤ 0.1 eV/atom; empty likewise."),
    Column("sun", "flag", "Stable, unique and novel."),
    Column("metastable_sun", "flag", "Metastable, unique and novel."),
    # how it came about
    Column("strategy", "string", "How demonstrations were chosen."),
    Column("num_demonstrations", "integer", "Demonstrations in the prompt."),
    Column("model", "string", "Base model, and adapter after a plus sign."),
    Column("seed", "integer", "Seed of the run."),
    Column("attempts", "integer", "Draws made, the one kept included."),
    Column("finished", "flag", "The model ended the text itself."),
    Column("num_tokens", "integer", "Tokens written."),
    # why it failed
    Column("failure_reason", "string", "First reason of failure, a code."),
    Column("failure_message", "string", "The same as a sentence."),
)

OLD_COLUMNS: Final = {
    "formula": "formula_pretty",
    "anonymous_formula": "formula_anonymous",
    "num_sites": "nsites_primitive",
    "e_above_hull": "energy_above_hull",
}
"""Names of columns in tables of earlier versions → their names now."""

STRUCTURE_COLUMNS: Final[dict[str, Column]] = {column.name: column for column in _COLUMNS}
"""Columns of the table of structures by name, in order.

Columns ``success_<name>``, flags, stand before ``joint_success``, one for each thing asked
for in the run. A column whose metric was not computed is there and empty: a table of one
run can be put below that of another.
"""


def structure_columns(asked: list[str] | tuple[str, ...] = ()) -> dict[str, Column]:
    """Return the columns of a run in which these things were asked for.

    Parameters
    ----------
    asked
        Names of what was asked for, as ``Candidate.success`` has them.
    """
    columns: dict[str, Column] = {}
    for name, column in STRUCTURE_COLUMNS.items():
        if name == "joint_success":
            for part in asked:
                words = part.replace("_", " ")
                met = Column(f"{SUCCESS_PREFIX}{part}", "flag", f"The {words} is as asked for.")
                columns[met.name] = met
        columns[name] = column
    return columns
