"""Make ``elemental_references.json``: what CHGNet's energies are measured against.

    python -m crystalicl_jobflow.energies.data.build_references mp_20_train.csv.gz

Structures: the Materials Project's PBE structures of the elements that ship with matcalc
(``elemental_refs/MP-PBE-Element-Refs.json.gz``; Materials Project, CC BY 4.0; matcalc,
BSD-3-Clause), for each element the one of lowest PBE energy. Yb is not among them (the
Materials Project changed its pseudopotential); its structure is MatPES-PBE's, and both kinds
of reference take CHGNet's own energy of it, since CHGNet was trained on the old one.

For ``fitted`` a CSV of crystals with formation energies is needed: 9,594 crystals take about
five minutes on one core.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.energies.elements import elemental_structures
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.energies.references import (
    STRUCTURES,
    TABLE,
    ElementalReferences,
    fit_references,
    own_references,
)

MODELS = ("chgnet",)
PROPERTY = "formation_energy_per_atom"


def main() -> None:
    """Build, and write the table beside this file."""
    elements = elemental_structures()
    structures = {symbol: item.structure for symbol, item in elements.items()}
    tables = []
    for name in MODELS:
        model = load_energy_model(name)
        source = f"{STRUCTURES} {version('matcalc')}"
        own = own_references(model, structures, source=source)
        energies = {
            symbol: round(item.dft_energy, 5) if item.source == "MP-PBE" else own.energies[symbol]
            for symbol, item in elements.items()
        }
        tables += [
            ElementalReferences(
                "mp",
                model.name,
                model.version,
                energies,
                f"uncorrected PBE energies of {source}; Yb by the model",
            ),
            own,
        ]
        for path in sys.argv[1:]:
            data = read_data_set(path, required=[PROPERTY])
            answers = model.energies(
                data.structures, progress=lambda done, of: print(f"\r{done}/{of}", end="")
            )
            usable = [
                (structure.composition, answer.energy_per_atom, values[PROPERTY])
                for structure, answer, values in zip(
                    data.structures, answers, data.properties, strict=True
                )
                if answer.energy_per_atom is not None
            ]
            tables.append(
                fit_references(
                    *map(list, zip(*usable, strict=True)),
                    model=model,
                    source=f"{len(usable)} crystals of {Path(path).name}",
                )
            )
    documents = [
        {
            "kind": table.kind,
            "model": table.model,
            "model_version": table.model_version,
            "source": table.source,
            "energies": dict(sorted(table.energies.items())),
        }
        for table in tables
    ]
    out = Path(__file__).with_name(TABLE)
    out.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    print(f"\n{out}: {', '.join(f'{t.label}: {len(t.energies)} elements' for t in tables)}")


if __name__ == "__main__":
    main()
