"""Options that the scripts of this folder share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
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
    prompts.add_argument("--strategy", default="C", help="C, F, CF, R, CR, FR or CFR")
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
