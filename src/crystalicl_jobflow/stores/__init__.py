"""Open any maggma store from a path, a URI, a configuration or a serialised store.

This package lies below the rooms: the pool, the candidates and the job outputs are all
named by users in these forms.
"""

from __future__ import annotations

from crystalicl_jobflow.stores.configured import load_job_store
from crystalicl_jobflow.stores.criteria import ForbiddenCriteriaError, refuse_code
from crystalicl_jobflow.stores.documents import (
    connect_store,
    remove_documents,
    write_documents,
)
from crystalicl_jobflow.stores.json_files import save_json_store
from crystalicl_jobflow.stores.opening import (
    DEMONSTRATION_KEY,
    DEMONSTRATIONS,
    StoreSpec,
    open_store,
    store_label,
)

__all__ = [
    "DEMONSTRATIONS",
    "DEMONSTRATION_KEY",
    "ForbiddenCriteriaError",
    "StoreSpec",
    "connect_store",
    "load_job_store",
    "open_store",
    "refuse_code",
    "remove_documents",
    "save_json_store",
    "store_label",
    "write_documents",
]
