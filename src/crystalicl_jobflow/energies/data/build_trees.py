"""Make ``band_gap.npz`` and ``formation_energy_per_atom.npz``, the shipped trees.

    python -m crystalicl_jobflow.energies.data.build_trees mp_20_train.csv.gz

Crystals and values: Materials Project (CC BY 4.0), in the split of CDVAE. Only training files:
what ``crystalicl benchmark energies`` states as the error is measured on test files. About ten
minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.energies.predictors import fit_trees
from crystalicl_jobflow.schemas import PROPERTIES

VERSION = "mp-20 1"
TARGETS = ("band_gap", "formation_energy_per_atom")


def main() -> None:
    """Fit, and write the files beside this one."""
    path = Path(sys.argv[1])
    data = read_data_set(path, required=TARGETS)
    for target in TARGETS:
        predictor = fit_trees(
            target,
            data.structures,
            [values[target] for values in data.properties],
            source=path.name,
            version=VERSION,
            minimum=PROPERTIES[target].minimum,
        )
        out = Path(__file__).with_name(f"{target}.npz")
        predictor.trees.save(out)
        print(f"{out}: {len(predictor.trees.value)} nodes, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
