"""Fingerprints by which sets of crystals are compared: structure and composition."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.thresholds import FINGERPRINT_MIN_VOLUME, FINGERPRINT_TIMEOUT
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from maggma.core import Store

    from crystalicl_jobflow.comparison.fingerprint_cache import FingerprintCache

STRUCTURE_FINGERPRINT_SIZE = 61
"""Length of a CrystalNN ``ops`` fingerprint."""

COMPOSITION_FINGERPRINT_SIZE = 132
"""Length of a Magpie fingerprint: 22 properties of the elements, six statistics of each."""

NO_STRUCTURE = "no crystal"
"""Why an entry without a structure has no fingerprints."""

_PORTION = 64
_TIMED_OUT = "took longer than"
_WRITE_EVERY = 60.0  # s between writes to the cache: what an interruption may cost


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrystalFingerprints:
    """Both fingerprints of each crystal of a set, failures included.

    Parameters
    ----------
    structure
        Shape (n, 61): CrystalNN ``ops``, averaged over sites; rows of NaN where it failed.
    composition
        Shape (n, 132): Magpie, not standardised; NaN where an element has no value.
    errors
        For each crystal, why it has no fingerprints, or None.
    computed
        Structural fingerprints computed now.
    cached
        Structural fingerprints (or their failures) taken from the cache.
    """

    structure: NDArray[np.float64]
    composition: NDArray[np.float64]
    errors: tuple[str | None, ...]
    computed: int = 0
    cached: int = 0

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which crystals have both fingerprints, shape (n,)."""
        return np.array([error is None for error in self.errors], dtype=bool)

    def take(self, indices: Sequence[int] | NDArray[Any]) -> CrystalFingerprints:
        """Return the fingerprints of some of the crystals, in that order."""
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        errors = tuple(self.errors[int(index)] for index in chosen)
        return CrystalFingerprints(self.structure[chosen], self.composition[chosen], errors)


def crystal_fingerprints(
    structures: Sequence[Structure | None],
    *,
    cache: FingerprintCache | Store | str | Path | None = None,
    processes: int = 1,
    timeout: float | None = FINGERPRINT_TIMEOUT,
    progress: Progress | None = None,
) -> CrystalFingerprints:
    """Compute both fingerprints of every crystal, each distinct crystal once.

    Structural: matminer's ``CrystalNNFingerprint.from_preset("ops")``, averaged over sites
    (Zimmermann and Jain, RSC Adv. 10, 6063, 2020). Composition: matminer's Magpie preset of
    ``ElementProperty`` (Ward et al., npj Comput. Mater. 2, 16028, 2016). Both as CDVAE's
    coverage takes them (Xie et al., ICLR 2022).

    Parameters
    ----------
    structures
        Crystals; None for a text that is none.
    cache
        Where structural fingerprints are kept by structure hash, failures too: a
        ``.sqlite`` path, any maggma store or what
        :func:`crystalicl_jobflow.stores.open_store` opens; None for nowhere. A second run
        then computes none of them. Only time-outs are tried again, for they say as much
        about the machine as about the crystal.
    processes
        Worker processes; 1 works in this one.
    timeout
        Seconds after which a crystal goes without a fingerprint; None for no limit.
    progress
        Called with (computed, to be computed).

    Returns
    -------
    CrystalFingerprints
        In the order of the structures. A crystal that cannot be fingerprinted has an error,
        and counts where its set is a denominator.

    Raises
    ------
    ValueError
        If there is less than one process, or the cache cannot be opened.
    RuntimeError
        If not even rock salt has a fingerprint.
    """
    from crystalicl_jobflow.comparison.fingerprint_cache import open_fingerprint_cache

    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    keys = [None if crystal is None else structure_hash(crystal) for crystal in structures]
    distinct: dict[str, Structure] = {}
    for key, crystal in zip(keys, structures, strict=True):
        if key is not None and crystal is not None:
            distinct.setdefault(key, crystal)
    known: dict[str, NDArray[np.float64] | str] = {}
    with open_fingerprint_cache(cache, kind=fingerprint_kind) as store:
        if store is not None:
            known = store.get_many(list(distinct))
            known = {
                key: value
                for key, value in known.items()
                if not (isinstance(value, str) and _TIMED_OUT in value)
            }
        cached = len(known)
        missing = [key for key in distinct if key not in known]
        tasks = [(distinct[key], timeout) for key in missing]
        fresh: dict[str, NDArray[np.float64] | str] = {}
        last = time.monotonic()

        def keep(done: int, answer: NDArray[np.float64] | str) -> None:
            nonlocal last, fresh
            if isinstance(answer, str) and _TIMED_OUT not in answer:
                check_featurizer()
            known[missing[done]] = fresh[missing[done]] = answer
            if store is not None and time.monotonic() - last > _WRITE_EVERY:
                store.put_many(fresh)
                fresh, last = {}, time.monotonic()

        try:
            _run(tasks, keep, processes=processes, progress=progress)
        finally:  # interrupted, too
            if store is not None and fresh:
                store.put_many(fresh)
    return _assemble(structures, keys, known, computed=len(missing), cached=cached)


def _run(
    tasks: Sequence[tuple[Structure, float | None]],
    keep: Callable[[int, NDArray[np.float64] | str], None],
    *,
    processes: int,
    progress: Progress | None,
) -> None:
    # in portions, so that what is done is kept when the work is interrupted
    portion = _PORTION * processes
    for start in range(0, len(tasks), portion):
        answers = map_list(
            structure_fingerprint,
            tasks[start : start + portion],
            processes=processes,
            on_death=_died,
        )
        for offset, answer in enumerate(answers):
            keep(start + offset, answer)
        if progress is not None:
            progress(min(start + portion, len(tasks)), len(tasks))


def _died(task: tuple[Structure, float | None]) -> NDArray[np.float64] | str:
    logger.warning("%s: the process that computed a fingerprint ended", task[0].formula)
    return "structural fingerprint: the process that computed it ended"


def _assemble(
    structures: Sequence[Structure | None],
    keys: Sequence[str | None],
    known: dict[str, NDArray[np.float64] | str],
    *,
    computed: int,
    cached: int,
) -> CrystalFingerprints:
    count = len(structures)
    structure_rows = np.full((count, STRUCTURE_FINGERPRINT_SIZE), np.nan)
    composition_rows = np.full((count, COMPOSITION_FINGERPRINT_SIZE), np.nan)
    errors: list[str | None] = []
    for index, (crystal, key) in enumerate(zip(structures, keys, strict=True)):
        if crystal is None or key is None:
            errors.append(NO_STRUCTURE)
            continue
        try:
            composition_rows[index] = composition_fingerprint(crystal.composition)
        except ValueError as error:
            errors.append(f"{error}")
            continue
        value = known[key]
        if isinstance(value, str):
            errors.append(value)
        else:
            structure_rows[index] = value
            errors.append(None)
    return CrystalFingerprints(
        structure_rows, composition_rows, tuple(errors), computed=computed, cached=cached
    )


def structure_fingerprint(task: tuple[Structure, float | None]) -> NDArray[np.float64] | str:
    """Return one crystal's structural fingerprint, shape (61,), or why it has none.

    Parameters
    ----------
    task
        The crystal, and the limit of time in seconds (None for no limit).
    """
    from crystalicl_jobflow.crystal.fingerprints import crystal_fingerprint
    from crystalicl_jobflow.utils.parallel import time_limit

    crystal, timeout = task
    if len(crystal) == 0:
        return "structural fingerprint: no atoms"
    if not crystal.volume / len(crystal) >= FINGERPRINT_MIN_VOLUME:
        return f"structural fingerprint: less than {FINGERPRINT_MIN_VOLUME} Å³ per atom"
    try:
        with time_limit(timeout):
            values = crystal_fingerprint(crystal)
    except Exception as error:  # an isolated atom, a heap of atoms: an answer, not a failure
        return f"structural fingerprint: {first_line(error)}"
    if not np.isfinite(values).all():
        return "structural fingerprint: not finite"
    return np.asarray(values, dtype=np.float64)


@cache
def check_featurizer() -> None:
    """See that a good crystal has a fingerprint, so that a failure is the crystal's own.

    A library that changed would otherwise make every crystal fail, and coverage 0.

    Raises
    ------
    RuntimeError
        If rock salt has no fingerprint.
    """
    from pymatgen.core import Lattice

    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    answer = structure_fingerprint((rock_salt, None))
    if isinstance(answer, str):
        raise RuntimeError(f"rock salt has no fingerprint, so the library is at fault: {answer}")


@cache
def fingerprint_kind() -> str:
    """Return what a structural fingerprint is and which versions give it, for the cache."""
    from importlib.metadata import version

    return f"crystalnn-ops matminer {version('matminer')} pymatgen {version('pymatgen')}"


def composition_fingerprint(composition: Composition) -> NDArray[np.float64]:
    """Return the Magpie fingerprint of a composition.

    The same numbers as matminer's ``ElementProperty.from_preset("magpie",
    impute_nan=False)``: minimum, maximum, range, mean, mean absolute deviation and mode of
    22 properties, by atomic fraction. Missing values stay NaN for the scaler to replace, as
    in CDVAE; newer versions of matminer would put the mean of all elements there.

    Parameters
    ----------
    composition
        Any composition; oxidation states do not matter.

    Returns
    -------
    numpy.ndarray
        Shape (132,).

    Raises
    ------
    ValueError
        If there are no atoms, or an element has no value of any property (Nh and heavier).
    """
    amounts = composition.get_el_amt_dict()
    if not amounts:
        raise ValueError("composition fingerprint: no atoms")
    table = _magpie_table()
    unknown = sorted(symbol for symbol in amounts if symbol not in table)
    if unknown:
        raise ValueError(f"composition fingerprint: no data for {', '.join(unknown)}")
    values = np.array([table[symbol] for symbol in amounts])  # (elements, 22)
    shares = np.array(list(amounts.values()))
    shares = shares / shares.sum()
    low, high = values.min(axis=0), values.max(axis=0)
    mean = shares @ values
    deviation = shares @ np.abs(values - mean)
    mode = values[np.isclose(shares, shares.max())].min(axis=0)
    return np.stack([low, high, high - low, mean, deviation, mode], axis=1).ravel()


@cache
def _magpie_table() -> dict[str, NDArray[np.float64]]:
    """Return the 22 properties of each element that has any, shape (22,)."""
    import warnings

    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that NaN are not imputed is meant
        featurizer = ElementProperty.from_preset("magpie", impute_nan=False)
    data = featurizer.data_source.all_elemental_props
    table = {}
    for element in Element:
        row = [data[name].get(element.symbol, np.nan) for name in featurizer.features]
        if not np.isnan(row).all():
            table[element.symbol] = np.array(row, dtype=np.float64)
    return table
