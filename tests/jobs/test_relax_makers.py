"""Makers that cannot relax are refused when the Flow is built, in one line."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from crystalicl_jobflow.flows import DiscoveryFlowMaker
from crystalicl_jobflow.jobs import RelaxMaker

pytest.importorskip("atomate2")


def maker(place: str, **settings: Any) -> Any:
    """Return a Maker by its place below atomate2; skip where its packages are missing."""
    module, _, name = place.rpartition(".")
    try:
        found = importlib.import_module(f"atomate2.{module}")
    except ImportError as error:
        pytest.skip(f"{place}: {error}")
    return getattr(found, name)(**settings)


def from_force_field(place: str) -> Any:
    module, _, name = place.rpartition(".")
    try:
        found = importlib.import_module(f"atomate2.{module}")
    except ImportError as error:
        pytest.skip(f"{place}: {error}")
    return getattr(found, name).from_force_field_name("CHGNet")


CHGNET = {"force_field_name": "CHGNet"}

REFUSED = [
    ("forcefields.jobs.ForceFieldStaticMaker", CHGNET, "Static"),
    ("forcefields.jobs.ForceFieldRelaxMaker", CHGNET | {"relax_cell": False}, "Deformation"),
    ("forcefields.md.ForceFieldMDMaker", CHGNET, "Molecular Dynamics"),
    ("ase.jobs.LennardJonesStaticMaker", {}, "Static"),
    ("vasp.jobs.core.HSEStaticMaker", {}, "Static"),
    ("vasp.jobs.core.NonSCFMaker", {}, "NSCF Line"),
    ("vasp.jobs.core.TightRelaxConstVolMaker", {}, "Deformation"),
]
REFUSED_FLOWS = [
    ("vasp.jobs.md.MDMaker", {}, "Molecular Dynamics"),
    ("vasp.flows.elastic.ElasticMaker", {}, "no calculation"),
    ("vasp.flows.eos.MPGGAEosMaker", {}, "no calculation"),
    ("vasp.flows.core.LineModeBandStructureMaker", {}, "NSCF Line"),
]


@pytest.mark.parametrize(
    ("place", "settings", "kind"),
    [*REFUSED, *(pytest.param(*case, marks=pytest.mark.slow) for case in REFUSED_FLOWS)],
    ids=[case[0] for case in (*REFUSED, *REFUSED_FLOWS)],
)
def test_what_cannot_relax_is_refused_in_one_line(place, settings, kind):
    given = maker(place, **settings)
    with pytest.raises(ValueError, match="cannot relax a crystal") as caught:
        RelaxMaker(given)
    said = str(caught.value)
    assert said.startswith(type(given).__name__)
    assert f"({kind})" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "place", ["forcefields.flows.elastic.ElasticMaker", "forcefields.flows.phonons.PhononMaker",
              "forcefields.flows.eos.ForceFieldEosMaker"],
)  # fmt: skip
def test_flows_of_force_fields_that_end_with_a_fit_are_refused(place):
    with pytest.raises(ValueError, match="cannot relax a crystal"):
        RelaxMaker(from_force_field(place))


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("forcefields.jobs.ForceFieldRelaxMaker", {"force_field_name": "CHGNet"}),
        ("forcefields.jobs.ForceFieldStaticMaker",
         {"force_field_name": "CHGNet", "steps": 50, "relax_cell": True}),
        ("ase.jobs.EmtRelaxMaker", {}),
        ("vasp.jobs.core.HSERelaxMaker", {}),
        # its result is a static calculation of the cell that it has relaxed
        ("vasp.flows.mp.MPGGADoubleRelaxStaticMaker", {}),
    ],
)  # fmt: skip
def test_what_relaxes_is_accepted(place, settings):
    assert RelaxMaker(maker(place, **settings)).name.startswith("start ")


def test_a_static_maker_with_settings_of_a_relaxation_counts_by_its_settings():
    core = pytest.importorskip("atomate2.vasp.jobs.core")
    changed = core.StaticMaker().update_kwargs(
        {"_set": {"input_set_generator->user_incar_settings": {"NSW": 99, "ISIF": 3, "IBRION": 2}}},
        dict_mod=True,
    )
    assert RelaxMaker(changed).level == "dft"


def test_a_discovery_refuses_them_when_it_is_made():
    static = maker("forcefields.jobs.ForceFieldStaticMaker", force_field_name="CHGNet")
    relax = maker("forcefields.jobs.ForceFieldRelaxMaker", force_field_name="CHGNet")
    for given in ({"relax_maker": static}, {"relax_maker": relax, "dft_maker": static}):
        with pytest.raises(ValueError, match="ForceFieldStaticMaker cannot relax a crystal"):
            DiscoveryFlowMaker(**given)
