"""The job that chooses demonstrations from a pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from jobflow import Maker
from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore, MontyStore

from crystalicl_jobflow.jobs._fields import check_fields
from crystalicl_jobflow.jobs._inputs import Conditions, as_conditions, with_checked_conditions
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.retrieval.groups import MAX_GROUPS
from crystalicl_jobflow.retrieval.opening import PROTOTYPES, open_embedded_pool
from crystalicl_jobflow.retrieval.strategies import check_choice
from crystalicl_jobflow.schemas import Strategy
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.retrieval import RetrieveDoc
from crystalicl_jobflow.stores import StoreSpec, open_store
from crystalicl_jobflow.utils.redaction import refuse_secrets


@dataclass
class RetrieveMaker(Maker):
    """Choose demonstrations for each condition.

    Runs where the pool's store can be reached; what it returns needs no store.

    Parameters
    ----------
    name
        Name of the job.
    pool
        The pool: 'prototypes' for the embedded one, or a store in any form that
        :func:`crystalicl_jobflow.stores.open_store` takes. Relative paths become absolute
        when the Maker is made, for jobs run in folders of their own.
    strategy
        How demonstrations are chosen: C, F, CF, R, CR, FR, CFR or CE.
    shots
        Demonstrations per condition, 0 to 5.
    seed
        Seed of the random choices.
    exclude_ids
        Demonstrations that are never chosen.
    templates
        Known crystals per condition for the model 'substitution', beside the demonstrations.
    groups
        Space groups, at most, that each formula asked for without one is offered, for
        `GenerateMaker` to draw from. None: 20 with a pool of your own, none with the prototypes;
        0: none.

    Raises
    ------
    ValueError
        If the pool is a store in memory: the job runs on a copy of it, which is empty.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import RetrieveMaker
    >>> job = RetrieveMaker(shots=1).make({"formula": "CaTiO3", "space_group": 221})
    >>> job.name
    'retrieve CaTiO3 221'
    >>> job.output.retrievals[0]  # doctest: +ELLIPSIS
    OutputReference(..., .retrievals, [0])
    """

    name: str = "retrieve"
    pool: StoreSpec = PROTOTYPES
    strategy: Strategy = "C"
    shots: int = 3
    seed: int = 0
    exclude_ids: list[str] = field(default_factory=list)
    templates: int = 0
    groups: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.shots = check_choice(self.strategy, self.shots)
        self.pool = lasting_store(self.pool)

    @with_checked_conditions("conditions")
    @crystal_job(output_schema=RetrieveDoc, data=DATA)
    def make(self, conditions: Conditions) -> RetrieveDoc:
        """Choose the demonstrations.

        Parameters
        ----------
        conditions
            A condition or a list of them: documents, mappings, JSON, formulas or crystals.

        Returns
        -------
        RetrieveDoc
            One retrieval per condition, in order.

        Raises
        ------
        ConditionError
            If a condition makes no sense, when the job is made.
        """
        from crystalicl_jobflow.retrieval import retrieve_many

        asked = as_conditions(conditions)
        with_fingerprints = self.shots > 0 and "F" in self.strategy
        retrievals = retrieve_many(
            _open_pool(self.pool, fingerprints=with_fingerprints),
            asked,
            strategy=self.strategy,
            shots=self.shots,
            seed=self.seed,
            exclude_ids=self.exclude_ids,
            templates=self.templates,
            groups=self._groups(),
        )
        return RetrieveDoc.from_retrievals(retrievals)

    def _groups(self) -> int:
        """Return how many space groups are offered; 288 prototypes say too little of them."""
        if self.groups is not None:
            return self.groups
        return 0 if isinstance(self.pool, str) and self.pool == PROTOTYPES else MAX_GROUPS


def lasting_store(pool: StoreSpec) -> StoreSpec:
    """Return the spec in a form that means the same in another folder and process."""
    if isinstance(pool, MemoryStore) and not isinstance(pool, JSONStore | MontyStore):
        raise ValueError("a pool in memory does not reach a job; name a file, folder or server")
    refuse_secrets(pool.as_dict() if isinstance(pool, Store) else pool, "the pool")
    if not isinstance(pool, str | Path):
        return pool
    text = str(pool)
    if text.strip() in ("memory:", ":memory:", "memory://"):
        raise ValueError("a pool in memory does not reach a job; name a file, folder or server")
    if text == PROTOTYPES or "://" in text:
        return text
    end = "/" if text.endswith("/") else ""
    return str(Path(text).expanduser().absolute()) + end


def _open_pool(pool: StoreSpec, *, fingerprints: bool) -> Store:
    if isinstance(pool, str) and pool == PROTOTYPES:
        return open_embedded_pool(fingerprints=fingerprints)
    return open_store(pool, must_exist=True)
