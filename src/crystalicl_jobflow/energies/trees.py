"""Gradient-boosted trees as plain arrays: fitted with scikit-learn, kept without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.utils.files import replacing

_NODE_FIELDS = ("feature", "threshold", "missing_left", "left", "right", "value")


@dataclass(frozen=True)
class BoostedTrees:
    """A sum of regression trees.

    Node k of the arrays either splits (``left[k]`` and ``right[k]`` are its children's
    places) or is a leaf (both are 0, and ``value[k]`` is its share of the answer).

    Parameters
    ----------
    baseline
        What the trees add to.
    roots
        Place of every tree's root, (trees,).
    feature, threshold, missing_left, left, right, value
        Of all nodes, (nodes,).
    meta
        What the trees were fitted on and to, as JSON.
    """

    baseline: float
    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the answer for each row.

        Parameters
        ----------
        features
            (n, features); NaN goes the way that training chose for missing values.

        Returns
        -------
        numpy.ndarray
            (n,).
        """
        answer = np.full(len(features), self.baseline)
        rows = np.arange(len(features))
        for root in self.roots:
            place = np.full(len(features), root, dtype=np.int64)
            while True:
                inner = self.left[place] > 0
                if not inner.any():
                    break
                which = rows[inner]
                node = place[inner]
                found = features[which, self.feature[node]]
                missing = np.isnan(found)
                goes_left = np.where(
                    missing, self.missing_left[node], found <= self.threshold[node]
                )
                place[inner] = np.where(goes_left, self.left[node], self.right[node])
            answer += self.value[place]
        return answer

    def save(self, path: str | Path) -> None:
        """Write the trees as a compressed ``.npz`` of plain arrays."""
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file,
                meta=np.array(json.dumps(dict(self.meta))),
                baseline=np.array(self.baseline),
                roots=self.roots,
                **{name: getattr(self, name) for name in _NODE_FIELDS},
            )

    @classmethod
    def load(cls, path: str | Path) -> BoostedTrees:
        """Read trees that :meth:`save` wrote; nothing in the file is executed.

        Raises
        ------
        ValueError
            If the file holds something else; one line.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    float(file["baseline"]),
                    file["roots"],
                    **{name: file[name] for name in _NODE_FIELDS},
                    meta=json.loads(str(file["meta"])),
                )
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path} holds no trees: {error}") from None

    @classmethod
    def from_sklearn(cls, model: Any, *, meta: Mapping[str, Any] | None = None) -> BoostedTrees:
        """Take the trees out of a fitted ``HistGradientBoostingRegressor``.

        Parameters
        ----------
        model
            Fitted, without categorical features and with a loss whose link is the identity
            (squared or absolute error, quantile).
        meta
            To keep with the trees.
        """
        parts: dict[str, list[Any]] = {name: [] for name in _NODE_FIELDS}
        roots, start = [], 0
        for (predictor,) in model._predictors:
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            roots.append(start)
            parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int16))
            parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
            parts["missing_left"].append(nodes["missing_go_to_left"].astype(bool))
            for side in ("left", "right"):
                child = np.where(leaf, 0, nodes[side].astype(np.int64) + start)
                parts[side].append(child.astype(np.int32))
            parts["value"].append(np.where(leaf, nodes["value"], 0.0).astype(np.float32))
            start += len(nodes)
        return cls(
            float(np.asarray(model._baseline_prediction).item()),
            np.array(roots, dtype=np.int32),
            **{name: np.concatenate(arrays) for name, arrays in parts.items()},
            meta=dict(meta or {}),
        )
