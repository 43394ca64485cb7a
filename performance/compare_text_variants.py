"""Compare models of two text variants on crystals held out of their training.

Both models must have been trained by ``crystalicl train base`` on the same files with the
same ``--validation`` share, so that the held-out formulas are the same. Each held-out
crystal is asked for once, by formula and space group, zero-shot and unconstrained; texts
that cannot be read are not drawn again, they count as failures.

    python performance/compare_text_variants.py mp_20_train.csv.gz perov_5_train.csv.gz \
        --model sgs=runs/sgs/model --model sgsw=runs/sgsw/model --limit 512 --out compare.json
"""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

from crystalicl_jobflow.evaluation import evaluate
from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.schemas import Condition, Generation, Retrieval, SamplingParams
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training.recipes import load_split
from crystalicl_jobflow.validation.validate import build_candidates

_WYCKOFF = re.compile(r" \d+[a-zA-Z]$", re.MULTILINE)
RATES = ("parsed", "formula", "space_group", "joint", "structure_valid", "match")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="the CSV files of the training, same order")
    parser.add_argument("--model", action="append", required=True, metavar="FORMAT=FOLDER")
    parser.add_argument("--adapter", default="none")
    parser.add_argument("--cache", help="folder that keeps analysed crystals")
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, action="append")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    held_out = load_split(options.data[:1], cache=options.cache).validation[: options.limit]
    truths = {place: SGS.build(item.crystal) for place, item in enumerate(held_out)}
    asked = [
        Condition(formula=item.demonstration.formula, space_group=item.demonstration.space_group)
        for item in held_out
    ]
    retrievals = [Retrieval(condition=c, strategy="C", shots=0, seed=options.seed) for c in asked]
    results = []
    for temperature in options.temperature or [0.9, 0.3]:
        sampling = SamplingParams(
            temperature=temperature, top_p=0.9, seed=options.seed, max_redraws=0
        )
        for model in options.model:
            text_format, _, folder = model.partition("=")
            generator = load_generator(
                folder,
                options.adapter,
                num_threads=options.threads,
                batch_size=options.batch_size,
            )
            generations = generate_for_retrievals(
                retrievals, generator, sampling=sampling, text_format=text_format, constrain=False
            )
            generations = [_as_sgs(generation) for generation in generations]
            evaluation = evaluate(build_candidates(generations), references=truths, unique=False)
            rates = {name: evaluation.rates[name] for name in RATES if name in evaluation.rates}
            results.append(
                {
                    "text_format": text_format,
                    "temperature": temperature,
                    "rates": {name: rate.model_dump() for name, rate in rates.items()},
                    "seconds": generations[0].seconds,
                    "reasons": evaluation.reasons,
                }
            )
            shown = "  ".join(
                f"{name} {rate.rate:.3f}±{_error(rate.count, rate.of):.3f}"
                for name, rate in rates.items()
                if rate.rate is not None
            )
            print(f"{text_format} at temperature {temperature}: {shown}", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _as_sgs(generation: Generation) -> Generation:
    """Read both variants by their coordinates alone, so that one reader judges both."""
    return generation.model_copy(
        update={
            "text_format": "sgs",
            "completions": [
                completion.model_copy(update={"text": _WYCKOFF.sub("", completion.text)})
                for completion in generation.completions
            ],
        }
    )


def _error(count: int, of: int) -> float:
    """Return the standard error of a rate."""
    rate = count / of
    return math.sqrt(rate * (1 - rate) / of)


if __name__ == "__main__":
    main()
