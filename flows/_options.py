"""Options that the scripts of this folder share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from jobflow import Flow

from crystalicl_jobflow.flows import CrystalGenerationFlowMaker, DiscoveryFlowMaker
from crystalicl_jobflow.jobs import GenerateMaker, RetrieveMaker
from crystalicl_jobflow.schemas import Condition, ConditionError, SamplingParams


class OneLineParser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line to stderr and end with status 2."""
        self.exit(2, f"Error: {message} (see --help)\n")


def generation_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of a generation."""
    parser = OneLineParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    asked = parser.add_argument_group("what is asked for")
    asked.add_argument("--formula", nargs="+", default=["CaTiO3"], help="one or several formulas")
    asked.add_argument("--space-group", default=None, help="number or symbol, for all of them")
    prompts = parser.add_argument_group("demonstrations")
    prompts.add_argument("--pool", default="prototypes", help="store, or 'prototypes'")
    prompts.add_argument("--strategy", default="C", help="C, F, CF, R, CR, FR, CFR or CE")
    prompts.add_argument("--shots", type=int, default=3, help="demonstrations, 0 to 5")
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="embedded", help="base model: a name or a path")
    model.add_argument("--adapter", default=None, help="LoRA adapter: a name or a path")
    model.add_argument("--samples", type=int, default=4, help="crystals per formula")
    model.add_argument("--seed", type=int, default=0)
    model.add_argument("--no-constraint", action="store_true", help="let the model write freely")
    model.add_argument("--shards", type=int, default=None, help="GPU jobs to divide the work among")
    return parser


def read_conditions(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> list[Condition]:
    """Return the conditions asked for; an impossible one ends the script with one line."""
    try:
        return [
            Condition.build(formula=formula, space_group=options.space_group)
            for formula in options.formula
        ]
    except ConditionError as error:
        parser.error(str(error))


def flow_maker(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> CrystalGenerationFlowMaker:
    """Return the Flow Maker that the options describe."""
    try:
        return CrystalGenerationFlowMaker(
            retrieve_maker=RetrieveMaker(
                pool=options.pool,
                strategy=options.strategy,
                shots=options.shots,
                seed=options.seed,
            ),
            generate_maker=GenerateMaker(
                base_model=options.model,
                adapter=options.adapter,
                num_samples=options.samples,
                sampling=SamplingParams(seed=options.seed),
                constrain=not options.no_constraint,
                num_shards=options.shards,
            ),
        )
    except ValueError as error:
        parser.error(str(error))


def add_relaxation(parser: argparse.ArgumentParser) -> None:
    """Add the options of a relaxation after the generation."""
    group = parser.add_argument_group("relaxation")
    group.add_argument(
        "--relax",
        choices=["no", "forcefield", "vasp", "both"],
        default="no",
        help="'both': VASP relaxes the best of the force field's",
    )
    group.add_argument("--force-field", default="CHGNet", help="name as atomate2 knows it")
    group.add_argument("--n-relax", type=int, default=None, help="crystals to relax, at most")
    group.add_argument("--n-dft", type=int, default=5, help="of these for VASP, with 'both'")
    group.add_argument(
        "--known",
        default=None,
        help="CSV or store of known crystals, that novelty and the convex hull are against",
    )


def build_flow(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Flow:
    """Return the Flow that the options describe, with its relaxations if any are asked for."""
    generation = flow_maker(parser, options)
    conditions = read_conditions(parser, options)
    if options.relax == "no":
        return generation.make(conditions)
    try:
        from atomate2.forcefields.jobs import ForceFieldRelaxMaker
        from atomate2.vasp.flows.mp import MPGGADoubleRelaxMaker
    except ImportError:
        parser.error("atomate2 is missing: pip install 'crystalicl-jobflow[forcefields]'")
    force_field = ForceFieldRelaxMaker(force_field_name=options.force_field)
    # its energies are on the Materials Project's scale, for which there is a hull
    vasp = MPGGADoubleRelaxMaker()
    makers = {
        "forcefield": (force_field, None),
        "vasp": (vasp, None),
        "both": (force_field, vasp),
    }[options.relax]
    try:
        discovery = DiscoveryFlowMaker(
            *makers,
            n_relax=options.n_relax,
            n_dft=options.n_dft if makers[1] is not None else None,
            generation_maker=generation,
        )
    except ValueError as error:
        parser.error(str(error))
    return discovery.make(conditions, known=options.known)


def add_workers(parser: argparse.ArgumentParser, word: str) -> None:
    """Add the options that say where jobs run; ``word`` is what the manager calls a place."""
    group = parser.add_argument_group(
        f"a {word} for each step; the default one where none is named"
    )
    for step in ("retrieval", "generation", "forcefield", "vasp"):
        group.add_argument(f"--{step}", default=None, metavar=word.upper())
    group.add_argument(
        "--resources",
        default=None,
        metavar="JSON",
        help='resources by step, e.g. \'{"generation": {"gres": "gpu:1"}}\'',
    )


def chosen_workers(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``assign_workers`` that the options name."""
    workers: dict[str, Any] = {
        step: getattr(options, step)
        for step in ("default", "retrieval", "generation", "forcefield", "vasp")
    }
    if options.resources:
        try:
            workers["resources"] = json.loads(options.resources)
        except ValueError as error:
            parser.error(f"--resources is not JSON: {error}")
        if not isinstance(workers["resources"], Mapping):
            parser.error("--resources is not a mapping of steps")
    return workers
