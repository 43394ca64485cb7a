"""Candidates in the files that leaderboards' own programs read.

LeMat-GenBench (https://github.com/LeMaterial/lemat-genbench) reads a folder of CIF files. The
evaluators of CDVAE (Xie et al. 2022), DiffCSP and others after it read dictionaries of tensors:
``frac_coords``, ``atom_types``, ``lengths``, ``angles`` and ``num_atoms`` with one axis for
repeated runs in front, and ``input_data_batch`` with the true crystals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.utils.files import replacing, safe_name, write_json, write_text

Which = Literal["valid", "parsed", "all"]

MANIFEST = "export.json"
CIFS = "cifs"

NOT_PARSED, NOT_VALID, TWIN = "no crystal", "not valid", "the same crystal as another"
DISORDERED = "disordered: tensors have one element a site"
NO_TRUTH = "its condition has no true crystal"

NO_CRYSTAL = -1.0
"""Length (Å) by which a text without a crystal stands in tensors: the evaluators count a negative
one as a crystal that cannot be built."""

_KEYS = ("frac_coords", "atom_types", "lengths", "angles", "num_atoms")


@dataclass
class Exported:
    """What was written, and what was not.

    Parameters
    ----------
    files
        The files.
    written
        Candidate's id → where it stands: a file, or a file and its row.
    left_out
        Candidate's id → why it is in none.
    """

    files: list[Path] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, int]:
        """Number of candidates left out by reason."""
        return dict(Counter(self.left_out.values()))

    def save(self, folder: Path, **settings: Any) -> None:
        """Write the manifest: settings, and where each candidate stands."""
        write_json(
            folder / MANIFEST,
            {**settings, "written": self.written, "left_out": self.left_out},
        )


def export_genbench(
    candidates: Sequence[Candidate],
    folder: str | Path,
    *,
    which: Which = "valid",
    distinct: bool = False,
) -> Exported:
    """Write one CIF file (P1, eight decimals) for each chosen crystal, for LeMat-GenBench.

    Parameters
    ----------
    candidates
        Validated candidates.
    folder
        The files go to ``cifs`` in it, beside ``export.json``.
    which
        Valid crystals, or all that could be read; a text without a crystal has no file, also
        with ``all``.
    distinct
        Whether of the same crystals only the first is written.

    Returns
    -------
    Exported
        Every candidate stands in it, written or with the reason why not.
    """
    places, left_out = _chosen(candidates, "parsed" if which == "all" else which, distinct)
    found = Exported(left_out=left_out)
    target = Path(folder) / CIFS
    target.mkdir(parents=True, exist_ok=True)
    for number, place in enumerate(places, start=1):
        candidate = candidates[place]
        assert candidate.structure is not None
        path = target / f"{number:06d}_{safe_name(candidate.formula_pretty or 'crystal')}.cif"
        write_text(path, candidate.structure.to(fmt="cif"))
        found.files.append(path)
        found.written[candidate.candidate_id] = f"{CIFS}/{path.name}"
    found.save(Path(folder), format="genbench", which=which, distinct=distinct)
    return found


def export_matbench(
    candidates: Sequence[Candidate],
    folder: str | Path,
    *,
    which: Which = "all",
    distinct: bool = False,
    truths: Mapping[Any, Structure] | None = None,
) -> Exported:
    """Write the tensors that CDVAE's evaluators read, as ``.pt`` and ``.npz``.

    Parameters
    ----------
    candidates
        Validated candidates.
    folder
        Without truths ``eval_gen`` is written there. With truths ``eval_recon`` with the first
        sample of each condition, ``eval_recon_2`` with the second and so on: crystals of other
        numbers of atoms than the true ones cannot share a tensor.
    which
        With ``all`` a text without a crystal stands as a cell of negative lengths, which the
        evaluators count as invalid: denominators stay whole.
    distinct
        Whether of the same crystals only the first is written; not with truths.
    truths
        True crystals by candidate id or request index, for structure prediction. Samples that
        are missing or not chosen stand as texts without a crystal.

    Raises
    ------
    ValueError
        If twins are to be left out where truths are given.
    """
    if truths is not None and distinct:
        raise ValueError("predictions are compared one by one: distinct is for sets without truths")
    base = Path(folder)
    base.mkdir(parents=True, exist_ok=True)
    places, left_out = _chosen(candidates, which, distinct)
    found = Exported(left_out=left_out)
    for place in list(places):
        structure = candidates[place].structure
        if structure is not None and not structure.is_ordered:
            places.remove(place)
            found.left_out[candidates[place].candidate_id] = DISORDERED
    if truths is None:
        _write(found, base / "eval_gen", [candidates[place] for place in places])
    else:
        _write_predictions(found, base, candidates, set(places), truths)
    found.save(base, format="matbench", which=which, distinct=distinct)
    return found


def read_tensors(path: str | Path, *, run: int = 0, truths: bool = False) -> list[Structure | None]:
    """Read the crystals of a file of tensors, ours or of CDVAE's family.

    Parameters
    ----------
    path
        A ``.pt`` (tensors only; nothing is run) or an ``.npz`` of ours.
    run
        Which of the repeated runs.
    truths
        Whether to return the true crystals instead.

    Returns
    -------
    list
        None for a crystal that cannot be built.

    Raises
    ------
    ValueError
        If a key is missing; one line.
    """
    arrays = _arrays(Path(path), truths)
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}")
    one = {key: array if truths else array[run] for key, array in arrays.items()}
    ends = np.cumsum(one["num_atoms"])
    found: list[Structure | None] = []
    for row, end in enumerate(ends):
        atoms = slice(int(end - one["num_atoms"][row]), int(end))
        lengths, angles = one["lengths"][row], one["angles"][row]
        if min(lengths) <= 0:
            found.append(None)
            continue
        symbols = [Element.from_Z(int(number)).symbol for number in one["atom_types"][atoms]]
        lattice = Lattice.from_parameters(*map(float, lengths), *map(float, angles))
        found.append(Structure(lattice, symbols, one["frac_coords"][atoms]))
    return found


def _chosen(
    candidates: Sequence[Candidate], which: Which, distinct: bool
) -> tuple[list[int], dict[str, str]]:
    """Return the places of the chosen candidates, and why the others are none."""
    left_out: dict[str, str] = {}
    places = []
    for place, candidate in enumerate(candidates):
        if which != "all" and candidate.structure is None:
            left_out[candidate.candidate_id] = NOT_PARSED
        elif which == "valid" and not candidate.valid:
            left_out[candidate.candidate_id] = NOT_VALID
        else:
            places.append(place)
    if distinct:
        from crystalicl_jobflow.comparison.novelty import unique_crystals

        groups = unique_crystals([candidates[place].structure for place in places])
        first = [at for at, group in enumerate(groups) if group in (None, at)]
        for at in set(range(len(places))) - set(first):
            left_out[candidates[places[at]].candidate_id] = TWIN
        places = [places[at] for at in first]
    return places, left_out


def _write_predictions(
    found: Exported,
    base: Path,
    candidates: Sequence[Candidate],
    chosen: set[int],
    truths: Mapping[Any, Structure],
) -> None:
    """Write a file for each sample of the conditions, the true crystals in each."""
    by_condition: dict[int, list[int]] = {}
    true_of: dict[int, Structure] = {}
    for place, candidate in enumerate(candidates):
        request = candidate.provenance.request_index
        truth = truths.get(candidate.candidate_id, truths.get(request))
        if truth is None or not truth.is_ordered:
            found.left_out.setdefault(candidate.candidate_id, NO_TRUTH)
            continue
        true_of.setdefault(request, truth)
        by_condition.setdefault(request, []).append(place)
    for places in by_condition.values():
        places.sort(key=lambda place: candidates[place].provenance.sample_index)
    asked = sorted(by_condition)
    for sample in range(max(map(len, by_condition.values()), default=0)):
        row: list[Candidate | None] = []
        for request in asked:
            places = by_condition[request]
            here = places[sample] if sample < len(places) else None
            row.append(candidates[here] if here in chosen and here is not None else None)
        name = "eval_recon" if sample == 0 else f"eval_recon_{sample + 1}"
        _write(found, base / name, row, [true_of[request] for request in asked])


def _write(
    found: Exported,
    path: Path,
    candidates: Sequence[Candidate | None],
    truths: Sequence[Structure] | None = None,
) -> None:
    import torch

    arrays = _tensors([None if item is None else item.structure for item in candidates])
    for row, candidate in enumerate(candidates):
        if candidate is not None:
            found.written[candidate.candidate_id] = f"{path.name}, row {row}"
    document: dict[str, Any] = {
        key: torch.from_numpy(value).unsqueeze(0) for key, value in arrays.items()
    }
    document["eval_setting"] = {}
    flat = {key: value[None] for key, value in arrays.items()}
    if truths is not None:
        true = _tensors(truths)
        document["input_data_batch"] = {key: torch.from_numpy(v) for key, v in true.items()}
        flat |= {f"input_data_batch.{key}": value for key, value in true.items()}
    with replacing(path.with_suffix(".pt")) as beside:
        torch.save(document, beside)
    with replacing(path.with_suffix(".npz")) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **flat)  # type: ignore[arg-type]  # its stub knows no names
    found.files += [path.with_suffix(".pt"), path.with_suffix(".npz")]


def _tensors(structures: Sequence[Structure | None]) -> dict[str, NDArray[Any]]:
    """Return crystals as arrays: sites of all after one another, cells by crystal."""
    points: list[Any] = []
    numbers: list[int] = []
    lengths, angles, counts = [], [], []
    for structure in structures:
        if structure is None:
            points.append([[0.0, 0.0, 0.0]])
            numbers.append(1)
            lengths.append([NO_CRYSTAL] * 3)
            angles.append([90.0] * 3)
            counts.append(1)
            continue
        points.append(structure.frac_coords)
        numbers += [Element(site.specie.symbol).Z for site in structure]
        lengths.append(list(structure.lattice.abc))
        angles.append(list(structure.lattice.angles))
        counts.append(len(structure))
    sites = np.concatenate(points) if points else np.zeros((0, 3))
    return {
        "frac_coords": np.asarray(sites, dtype=np.float32),
        "atom_types": np.asarray(numbers, dtype=np.int64),
        "lengths": np.asarray(lengths, dtype=np.float32).reshape(-1, 3),
        "angles": np.asarray(angles, dtype=np.float32).reshape(-1, 3),
        "num_atoms": np.asarray(counts, dtype=np.int64),
    }


def _arrays(path: Path, truths: bool) -> dict[str, NDArray[Any]]:
    inner = "input_data_batch"
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            prefix = f"{inner}." if truths else ""
            return {key: file[prefix + key] for key in _KEYS if prefix + key in file}
    import torch

    document = torch.load(path, map_location="cpu", weights_only=True)
    held = document.get(inner, {}) if truths else document
    return {key: held[key].numpy() for key in _KEYS if key in held}
