"""``crystalicl generate`` writes candidates, CIF files and a summary that agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pymatgen.core import Structure

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.schemas import Candidate
from reciting import RecitingGenerator

from .conftest import Run


def read(folder: Path) -> tuple[list[Candidate], dict]:
    lines = (folder / "candidates.jsonl").read_text().splitlines()
    candidates = [Candidate.model_validate_json(line) for line in lines]
    return candidates, json.loads((folder / "summary.json").read_text())


def test_one_document_a_line_for_every_sample_valid_or_not(generated: Path) -> None:
    candidates, summary = read(generated)
    assert len(candidates) == 8
    assert {candidate.valid for candidate in candidates} == {True, False}
    assert all(candidate.failure_reason for candidate in candidates if not candidate.valid)
    assert [candidate.provenance.sample_index for candidate in candidates] == list(range(8))
    assert summary["num_candidates"] == 8


def test_cif_files_are_the_valid_crystals(generated: Path) -> None:
    candidates, summary = read(generated)
    valid = [candidate for candidate in candidates if candidate.valid]
    files = sorted(path.name for path in (generated / "cifs").iterdir())
    assert files == sorted(Path(name).name for name in summary["cifs"])
    assert len(files) == len(valid) == summary["num_valid"]
    for candidate in valid:
        name = (
            f"{candidate.formula_pretty}_{candidate.space_group}_{candidate.candidate_id[:8]}.cif"
        )
        crystal = Structure.from_file(generated / "cifs" / name)
        assert crystal.composition.reduced_formula == candidate.formula_pretty


def test_rates_state_their_denominators_and_agree_with_the_candidates(generated: Path) -> None:
    candidates, summary = read(generated)
    met = sum(candidate.joint_success is True for candidate in candidates)
    assert summary["rates"]["joint"] == {"rate": met / 8, "count": met, "of": 8}
    assert summary["condition"] == {"formula": "CaTiO3", "space_group": 221}
    assert summary["sampling"]["seed"] == 0
    assert summary["model"]["engine"] == "reciting"
    assert summary["shots"] == len(summary["demonstration_ids"]) == 2
    assert set(summary["seconds"]) >= {"retrieve", "load_model", "generate", "check"}
    assert summary["versions"]["pymatgen"]


def test_the_same_seed_gives_the_same_candidates(run: Run, generated: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run(
        "generate", "--condition", '{"formula": "Ca2Ti2O6", "space_group": 221}', "--samples", 8,
        "--shots", 2, "--max-redraws", 0, "--no-constrain", "--out", again,
    )  # fmt: skip
    ids = [[c.candidate_id for c in read(folder)[0]] for folder in (generated, again)]
    assert ids[0] == ids[1]


def test_the_best_different_crystals_are_kept_and_all_samples_stay(
    run: Run, generated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "kept"
    result = run(
        "generate", "--formula", "CaTiO3", "--space-group", 221, "--samples", 8, "--keep", 3,
        "--shots", 2, "--max-redraws", 0, "--no-constrain", "--out", out,
    )  # fmt: skip
    candidates, summary = read(out)
    assert [item.candidate_id for item in candidates] == [
        item.candidate_id for item in read(generated)[0]
    ]
    by_id = {item.candidate_id: item for item in candidates}
    kept = [by_id[name] for name in summary["kept"]]
    assert kept[0].joint_success
    crystals = {(item.formula_pretty, item.space_group) for item in kept}
    assert len(crystals) == len(kept) == len(summary["cifs"])  # the model recites one of each
    assert {
        (item.formula_pretty, item.space_group) for item in candidates if item.valid
    } == crystals
    for item in kept:
        assert item.candidate_id[:8] in result.output
    assert f"the best {len(kept)} different ones kept" in result.output


def rows_of(output: str) -> list[list[str]]:
    """Return the rows of the first table that was printed."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith("Id"))
    found = []
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        found.append(line.split())
    return found


ASKED = (
    "generate", "--formula", "CaTiO3", "--space-group", 221, "--samples", 8, "--shots", 2,
    "--max-redraws", 0, "--no-constrain",
)  # fmt: skip


def test_each_different_crystal_is_shown_once_with_how_often_it_was_drawn(
    run: Run, tmp_path: Path
) -> None:
    result = run(*ASKED, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    candidates, summary = read(tmp_path)
    rows = rows_of(result.stdout)
    drawn = {row[0]: int(row[row.index("valid,") - 1]) for row in rows if "valid," in row}
    by_id = {item.candidate_id[:8]: item for item in candidates}
    same = Counter((item.formula_pretty, item.space_group) for item in candidates if item.valid)
    assert {(by_id[i].formula_pretty, by_id[i].space_group): n for i, n in drawn.items()} == same
    assert by_id[rows[0][0]].joint_success  # the best first
    lost = Counter(item.failure_reason.value for item in candidates if not item.valid)
    words = " ".join(result.stdout.split())
    assert f"{len(rows)} different crystal" in words
    assert f"{len(same)} valid, of 8 draws; {lost.total()} draw" in words
    assert lost.most_common(1)[0][0].replace("_", " ") in words
    assert summary["num_candidates"] == 8  # nothing is lost in the files


def test_every_draw_is_shown_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    result = run(*ASKED, "--all", "--out", tmp_path)
    ids = [item.candidate_id[:8] for item in read(tmp_path)[0]]
    assert [row[0] for row in rows_of(result.stdout)] == ids


def test_few_rates_are_shown_and_all_where_they_are_asked_for(run: Run, tmp_path: Path) -> None:
    def rates(output: str) -> list[str]:
        lines = [line.strip() for line in output.splitlines()]
        (start,) = [i for i, line in enumerate(lines) if line.startswith("Rate ")]
        return [line for line in lines[start + 2 :] if "%" in line]

    few = run(*ASKED, "--out", tmp_path)
    many = run(*ASKED, "--verbose", "--out", tmp_path)
    assert 4 <= len(rates(few.stdout)) <= 6
    assert len(rates(many.stdout)) == len(read(tmp_path)[1]["rates"])
    left = len(rates(many.stdout)) - len(rates(few.stdout))
    assert f"{left} more rates and all intervals: --verbose" in few.stderr
    assert " to " in rates(many.stdout)[0]


def test_a_quiet_run_says_nothing_and_writes_everything(
    run: Run, refused: Callable[..., str], tmp_path: Path
) -> None:
    result = run(*ASKED, "-q", "--out", tmp_path / "run")
    assert (result.exit_code, result.output) == (0, "")
    assert len(read(tmp_path / "run")[0]) == 8
    shown = run("query", tmp_path / "run", "--count", "--quiet")  # what is asked for is no chatter
    assert shown.output == "8\n"
    assert "231" in refused("generate", "-q", "--formula", "NaCl", "--space-group", 231)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rank", "evidence"), "--rank has no effect without --keep"),
        (("--keep", 1, "--rank", "beauty"), "no ranking 'beauty'; there are success"),
        (
            ("--keep", 1, "--energy", "chgnet"),
            "--energy has an effect with --rank evidence or --search",
        ),
        (("--energy-seconds", 1), "--energy-seconds has no effect without --energy"),
    ],
)
def test_a_ranking_that_makes_no_sense_is_refused_before_any_work(
    arguments: tuple[object, ...], said: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert said in refused("generate", "--formula", "NaCl", *arguments, "--out", out)
    assert not out.exists()


def test_the_kept_crystals_can_be_ranked_by_evidence(
    run: Run, generated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "kept"
    run(
        "generate", "--formula", "CaTiO3", "--space-group", 221, "--samples", 8, "--keep", 1,
        "--rank", "evidence", "--shots", 2, "--max-redraws", 0, "--no-constrain", "--out", out,
    )  # fmt: skip
    candidates, summary = read(out)
    (kept,) = [item for item in candidates if item.candidate_id in summary["kept"]][:1]
    assert kept.joint_success


def test_a_search_writes_all_its_simulations(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "searched"
    result = run(
        "generate", "--formula", "CaTiO3", "--space-group", 221, "--search", "tree",
        "--simulations", 12, "--shots", 0, "--no-constrain", "--keep", 1, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    candidates, summary = read(out)
    assert len(candidates) == 12
    assert {item.provenance.search.simulations for item in candidates} == {12}
    best = max(candidates, key=lambda item: item.provenance.search_record.reward)
    assert best.joint_success
    assert summary["kept"]
    assert not list(out.glob("unfinished-*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--simulations", 5), "--simulations has no effect without --search tree"),
        (("--search", "tree", "--samples", 5), "give --simulations"),
        (("--search", "tree", "--best-of", 2), "--best-of has no effect with --search"),
        (("--search", "tree", "--energy", "oracle"), "no energy model 'oracle'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    arguments: tuple[object, ...], said: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    common = ("--formula", "NaCl", "--shots", 0, "--out", tmp_path / "run")
    assert said in refused("generate", *common, *arguments)


def test_a_second_run_into_the_same_folder_leaves_no_stale_cif(run: Run, generated: Path) -> None:
    (generated / "cifs" / "mine.cif").write_text("kept")
    result = run(
        "generate", "--formula", "NaCl", "--samples", 4, "--shots", 0, "--max-redraws", 0,
        "--no-constrain", "--out", generated,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    _, summary = read(generated)
    files = {path.name for path in (generated / "cifs").iterdir()}
    assert files == {Path(name).name for name in summary["cifs"]} | {"mine.cif"}


def test_candidates_also_go_into_a_store(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "candidates.json"
    result = run(
        "generate", "--formula", "NaCl", "--samples", 4, "--shots", 0, "--no-constrain",
        "--out", tmp_path / "run", "--store", store,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = run("query", store, "--format", "jsonl")
    stored = {json.loads(line)["candidate_id"] for line in found.stdout.splitlines()}
    assert stored == {candidate.candidate_id for candidate in read(tmp_path / "run")[0]}


def test_flags_of_every_field_make_the_condition(run: Run, tmp_path: Path) -> None:
    document = tmp_path / "condition.json"
    document.write_text('{"space_group": 1, "properties": {"band_gap": 1.0}}')
    result = run(
        "generate", "--condition", document, "--chemsys", "O-Ti-Ca", "--elements", "Ca,O",
        "--anonymous-formula", "ABC3", "--space-group", "Pm-3m,62", "--num-sites", "2:20",
        "--property", "energy_above_hull=:0.1", "--samples", 1, "--shots", 0, "--no-constrain",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "run")[1]["condition"] == {
        "anonymous_formula": "ABC3",
        "chemsys": "Ca-O-Ti",
        "elements": ["Ca", "O"],
        "space_group": [62, 221],
        "num_sites": {"min": 2.0, "max": 20.0},
        "properties": {"band_gap": 1.0, "energy_above_hull": {"max": 0.1}},
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space-group", "231"], "space group 231 does not exist"),
        (["--formula", "CaXx"], "CaXx"),
        (["--property", "band_gap=2:1"], "reversed"),
        (["--property", "band_gap"], "not of the form NAME=VALUE"),
        (["--property", "band_gap=1", "--property", "band_gap=2"], "given twice"),
        (["--condition", "nowhere.json"], "neither JSON nor a file"),
        (["--condition", "{"], "JSON"),
        (["--no-constrain", "--max-atoms", "5"], "no effect with --no-constrain"),
        (["--pool", "nowhere.json"], "nowhere.json does not exist"),
        (["--pool", "nowhere.csv"], "nowhere.csv does not exist"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(
    refused: Callable[..., str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    assert words in refused("generate", *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_combination_that_no_crystal_has_is_refused_before_a_model_is_loaded(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_args: object, **_options: object) -> None:
        pytest.fail("the model was loaded")

    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", load)
    line = refused(
        "generate", "--formula", "CaTiO3", "--space-group", "227", "--shots", "0",
        "--max-atoms", "10", "--out", tmp_path / "run",
    )  # fmt: skip
    assert "227" in line


@pytest.mark.parametrize("flag", [[], ["--allow-other-base"]])
def test_the_switch_for_another_base_reaches_the_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: list[str]
) -> None:
    given: list[dict[str, object]] = []

    def load(*_args: object, **options: object) -> RecitingGenerator:
        given.append(options)
        return RecitingGenerator()

    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", load)
    result = run(
        "generate", "--formula", "NaCl", "--shots", 0, "--samples", 1, "--no-constrain", *flag,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [options["allow_other_base"] for options in given] == [bool(flag)]


def test_a_folder_of_cifs_serves_as_pool(run: Run, generated: Path, tmp_path: Path) -> None:
    result = run(
        "generate", "--formula", "SrTiO3", "--space-group", 221, "--samples", 1, "--shots", 1,
        "--pool", generated / "cifs", "--no-constrain", "--out", tmp_path / "more",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Demonstrations: CaTiO3" in result.stderr


class Dying(RecitingGenerator):
    """Dies after a number of samples, as a killed process does."""

    after: int | None = None
    asked = 0

    def _sample(self, *arguments: Any) -> Any:
        if self.asked == self.after:
            raise KeyboardInterrupt
        self.asked += 1
        return super()._sample(*arguments)


def asked(
    run: Run, monkeypatch: pytest.MonkeyPatch, out: Path, *more: str, after: int | None = None
) -> tuple[Any, int]:
    """Run a generation that dies after some samples; return the result and how many it drew."""
    generator = Dying()
    generator.after = after
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    result = run(
        "generate", "--formula", "NaCl", "--samples", 8, "--shots", 0, "--no-constrain", *more,
        "--out", out,
    )  # fmt: skip
    return result, generator.asked


def test_an_interrupted_run_continues_by_itself(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(run, monkeypatch, tmp_path / "whole")
    out = tmp_path / "run"
    assert asked(run, monkeypatch, out, after=5)[0].exit_code != 0
    result, drawn = asked(run, monkeypatch, out)
    assert result.exit_code == 0, result.output
    assert drawn == 3
    assert "Continuing a killed run: 5 of 8 samples are written" in result.stderr
    ids = [[c.candidate_id for c in read(folder)[0]] for folder in (tmp_path / "whole", out)]
    assert ids[0] == ids[1]
    assert {path.name for path in out.iterdir()} == {"candidates.jsonl", "cifs", "summary.json"}
    # a finished run is done again
    assert asked(run, monkeypatch, out)[1] == 8


@pytest.mark.parametrize("more", [["--seed", "1"], ["--no-resume"], ["--temperature", "0.5"]])
def test_another_run_begins_at_the_beginning(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    asked(run, monkeypatch, tmp_path, after=5)
    result, drawn = asked(run, monkeypatch, tmp_path, *more)
    assert drawn == 8
    assert "Continuing" not in result.stderr


def test_substitution_needs_no_model_and_names_its_templates(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(cache))
    words = "generate --formula CaZrO3 --space-group 221 --model substitution --shots 0 --samples 2"
    done = CliRunner().invoke(cli, [*words.split(), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    candidates, summary = read(tmp_path / "out")
    assert [candidate.joint_success for candidate in candidates] == [True, True]
    assert all(candidate.provenance.template_id for candidate in candidates)
    assert summary["model"]["base_model"] == "substitution"
