"""Mutated crystal texts through decoding and validation, in a child process with little memory.

Run as a module, ``python -m tests.text.fuzzing SEED COUNT``, it prints one JSON object: how many
texts were tried, the exceptions that decoding must not raise, the candidates with the reason
``internal``, and the longest time for one text in seconds of CPU.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Iterator

from crystalicl_jobflow.schemas import Completion, Condition, FailureReason, Generation
from crystalicl_jobflow.schemas.generation import ModelInfo, SamplingParams
from crystalicl_jobflow.text import SGS, TEXT_FORMATS, TextError

MEMORY = 8 * 2**30  # bytes of address space; torch and pymatgen reserve a few

CRYSTALS = (
    "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50",
    "P4/mmm\n4.2 4.2 4.3\n90 90 90\nBa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.52\nO\n0.50 0.50 0.00",
    "R-3m\n4.4 4.4 30.5\n90 90 120\nBi\n0.00 0.00 0.40\nTe\n0.00 0.00 0.00\nTe\n0.00 0.00 0.79",
    "P2_1/c\n5.1 5.2 5.3\n90 99 90\nZr\n0.28 0.04 0.21\nO\n0.07 0.33 0.34\nO\n0.45 0.76 0.48",
    "P-1\n5.0 6.1 7.2\n88 101 95\nCu0.75 Au0.25\n0.10 0.20 0.30\nO\n0.40 0.60 0.80",
)
NUMBERS = (
    "nan", "inf", "-inf", "1e-8", "1e308", "1e999", "0", "-0", "0.0", "-1", "360", "180", "179.99",
    "0.00000001", "9" * 29, "9" * 400, "1/3", "½", "٣", "0x10", "1_0", "--1", ".", "+", "1.2.3",
    "0.333(3)", "?", "57",
)  # fmt: skip
WORDS = (
    "X", "D", "T", "Vac", "OH", "Uuo", "na", "Pm", "Cm", "P1", "Ia-3d", "P6/mmm", "R-3m:H", "F-43m",
    "Na-1", "Na0.5", "Na0.5 Cl0.6", "Na1e9", "Na" + "1" * 60, "###", "```", "data_x", "loop_", "#",
    "'", '"', ";", "\0", "\u2028", "\x85", "_cell_length_a", "_atom_site_fract_x",
    "_symmetry_equiv_pos_as_xyz", "'x, y, z+1/2'", "'" + "x+" * 40 + "y, z'", "x,y",
)  # fmt: skip


def texts() -> dict[str, list[str]]:
    """Return undisturbed texts by format."""
    parsed = [SGS.parse(text) for text in CRYSTALS]
    found = {
        name: [form.format(crystal) for crystal in parsed] for name, form in TEXT_FORMATS.items()
    }
    found["cif"] += [TEXT_FORMATS["cif"].encode(SGS.build(crystal)) for crystal in parsed]
    return found


def mutate(text: str, chance: random.Random) -> str:
    """Disturb a text in one to three places."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        tokens = lines[at].split(" ")
        place = chance.randrange(len(tokens))
        match chance.randrange(10):
            case 0:
                tokens[place] = chance.choice(NUMBERS)
            case 1:
                tokens[place] = chance.choice(WORDS)
            case 2:
                del tokens[place]
            case 3:
                tokens[place] += chance.choice((*NUMBERS, *"0123456789.-+abcXYZ "))
            case 4:
                tokens.insert(place, chance.choice((*NUMBERS, *WORDS)))
            case 5:
                lines[at : at + 1] = [lines[at]] * chance.choice((2, 3, 50, 700))
                tokens = lines[at].split(" ")
            case 6:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
                tokens = lines[at].split(" ")
            case 7:
                lines = lines[: at + 1]
            case 8:
                tokens = [
                    str(round(chance.uniform(-20, 1200), chance.randint(0, 9))) for _ in tokens
                ]
            case _:
                char = chr(chance.choice((0, 9, 13, 32, 35, 95, 133, 0x2028, 0x1F600, 0xD7)))
                tokens[place] = tokens[place][:2] + char + tokens[place][2:]
        lines[at] = " ".join(tokens)
        text = "\n".join(lines)
    return text


def mutated(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Yield formats and disturbed texts, the same ones for a seed."""
    chance = random.Random(seed)
    sound = texts()
    for number in range(count):
        name = tuple(TEXT_FORMATS)[number % len(TEXT_FORMATS)]
        yield name, mutate(chance.choice(sound[name]), chance)


def answer(name: str, text: str) -> Generation:
    """Return a generation of one text."""
    return Generation(
        condition=Condition(formula="NaCl"),
        prompt="",
        text_format=name,
        completions=[
            Completion(request_index=0, sample_index=0, text=text, finished=True, num_tokens=1)
        ],
        sampling=SamplingParams(),
        model=ModelInfo(engine="none", base_model="none"),
    )


def try_texts(seed: int, count: int) -> dict[str, object]:
    """Put texts through decoding and validation, and say what went wrong."""
    from crystalicl_jobflow.validation import build_candidates

    undeclared: list[str] = []
    internal: list[str] = []
    slowest, slowest_text, read = 0.0, "", 0
    for name, sound in texts().items():  # what is imported at first use is not a text's time
        build_candidates([answer(name, text) for text in sound])
    for name, text in mutated(seed, count):
        started = time.process_time()
        try:
            TEXT_FORMATS[name].decode(text)
            read += 1
        except TextError:
            pass
        except Exception as error:
            undeclared.append(f"{name}: {type(error).__name__}: {error}: {text[:300]!r}")
        (candidate,) = build_candidates([answer(name, text)])
        if candidate.failure_reason is FailureReason.INTERNAL:
            internal.append(f"{name}: {candidate.failure_message}: {text[:300]!r}")
        seconds = time.process_time() - started
        if seconds > slowest:
            slowest, slowest_text = seconds, f"{name}: {text[:300]!r}"
    return {
        "tried": count,
        "read": read,
        "undeclared": undeclared,
        "internal": internal,
        "slowest": round(slowest, 2),
        "slowest_text": slowest_text,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    print(json.dumps(try_texts(int(sys.argv[1]), int(sys.argv[2]))))
