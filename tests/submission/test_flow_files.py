"""Flows described by YAML files: what can be written down, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.submission import DescribedFlow, FlowFileError, load_flow_file
from crystalicl_jobflow.submission.yaml_text import YamlText
from job_names import step

EXAMPLES = Path(__file__).resolve().parents[2] / "flows"
MINIMAL = "flow: generate\nconditions: {formula: CaTiO3}\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a text to flow.yaml and builds what it describes."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> DescribedFlow:
        Path("flow.yaml").write_text(text)
        return load_flow_file("flow.yaml")

    return write


@pytest.fixture
def mistake(load: Any) -> Any:
    """Return a function that gives the one line with which a text is refused."""

    def refuse(text: str) -> str:
        with pytest.raises(FlowFileError) as caught:
            load(text)
        line = str(caught.value)
        assert "\n" not in line
        assert line.startswith("flow.yaml")
        return line.removeprefix("flow.yaml").removeprefix(", ").removeprefix(": ")

    return refuse


class TestValues:
    """Plain values mean what a person means by them."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("2:20", "2:20"),  # 140 in YAML 1.1
            ("NO", "NO"),  # false in YAML 1.1
            ("No", "No"),
            ("y", "y"),
            ("on", "on"),
            ("1e-5", 1e-5),  # a text in YAML 1.1
            ("5.", 5.0),
            ("-.5", -0.5),
            ("010", 10),  # 8 in YAML 1.1
            ("221", 221),
            ("true", True),
            ("False", False),
            ("~", None),
            ("", None),
            ("'221'", "221"),
            ("2026-01-01", "2026-01-01"),
            ("[1, NO]", [1, "NO"]),
        ],
    )
    def test_plain_values(self, tmp_path: Path, text: str, value: Any) -> None:
        path = tmp_path / "file.yaml"
        path.write_text(f"value: {text}\n")
        found = YamlText(path).content["value"]
        assert found == value
        assert type(found) is type(value)

    def test_a_range_of_sites_and_nitric_oxide_are_conditions(self, load: Any) -> None:
        flow = load("flow: generate\nconditions: {formula: NO, num_sites: 2:20}\n")
        assert flow.conditions == [Condition.build(formula="NO", num_sites="2:20")]

    def test_anchors_and_merges_work(self, load: Any) -> None:
        flow = load(
            "flow: generate\nconditions:\n  - &first {formula: CaTiO3, space_group: 221}\n"
            "  - {<<: *first, space_group: 62}\n"
        )
        assert [item.space_group for item in flow.conditions] == [221, 62]


class TestConditions:
    """What is asked for can be written down or lie in a file."""

    ASKED = (
        Condition(formula="CaTiO3", space_group=221),
        Condition.build(elements=["O"], properties={"band_gap": "1:3"}),
    )

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("asked.json", json.dumps([{"formula": "CaTiO3", "space_group": "Pm-3m"},
                                       {"elements": ["O"], "properties": {"band_gap": "1:3"}}])),
            ("asked.jsonl", '{"formula": "CaTiO3", "space_group": 221}\n\n'
                            '{"elements": ["O"], "properties": {"band_gap": "1:3"}}\n'),
            ("asked.yaml", "- {formula: CaTiO3, space_group: Pm-3m}\n"
                           "- {elements: [O], properties: {band_gap: 1:3}}\n"),
        ],
    )  # fmt: skip
    def test_from_a_file(self, load: Any, name: str, content: str) -> None:
        Path(name).write_text(content)
        assert load(f"flow: generate\nconditions: {name}\n").conditions == list(self.ASKED)

    def test_as_json_on_a_line(self, load: Any) -> None:
        text = 'flow: generate\nconditions: [\'{"formula": "CaTiO3", "space_group": 221}\']\n'
        assert load(text).conditions == [self.ASKED[0]]

    def test_they_travel_as_plain_data(self, load: Any) -> None:
        described = load("flow: generate\nconditions: {formula: CaTiO3, space_group: Pm-3m}\n")
        assert described.jobs[0].function_args == ([{"formula": "CaTiO3", "space_group": 221}],)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("CaTiO3", "line 2: conditions: CaTiO3 does not exist"),
            ("[CaTiO3]", "line 2: conditions.0: 'CaTiO3' is no condition; write 'formula: CaTiO3'"),
            ("[]", "line 2: conditions: not one condition"),
            ("{space_group: 231}", "space group 231 does not exist"),
            ("{formula: CaXx}", "Xx is not an element"),
            ("\n  - {formula: NaCl}\n  - {formulla: NaCl}",
             "line 4: conditions.1.formulla: there is no such field; did you mean formula?"),
            ("asked.csv", "asked.csv does not exist"),
            ("flow.yaml", "conditions: flow.yaml, line 1: flow: there is no such field"),
        ],
    )  # fmt: skip
    def test_what_is_none_is_refused(self, mistake: Any, text: str, words: str) -> None:
        assert words in mistake(f"flow: generate\nconditions: {text}\n")

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("asked.jsonl", '{"formula": "NaCl"}\n{"formula": "CaXx"}\n', "asked.jsonl, line 2: "),
            ("asked.jsonl", "\n", "asked.jsonl: not one condition"),
            ("asked.json", "[1, ", "asked.json cannot be read"),
            ("asked.json", '[{"formula": "NaCl"}, {"formulla": 1}]', "condition 2, formulla"),
            ("asked.yaml", "- {formula: NaCl}\n- {formulla: NaCl}\n", "asked.yaml, line 2: "),
            ("asked.yaml", "asked.yaml\n", "conditions: asked.yaml holds no conditions"),
            ("asked.json", '"asked.json"', "conditions: asked.json holds no conditions"),
            ("asked.csv", "formula\nNaCl\n", "in a .json, .jsonl or .yaml file"),
        ],
    )
    def test_a_mistake_in_a_file_names_its_place(
        self, mistake: Any, name: str, content: str, words: str
    ) -> None:
        Path(name).write_text(content)
        assert words in mistake(f"flow: generate\nconditions: {name}\n")

    def test_what_no_crystal_can_meet_is_refused_before_anything_is_submitted(
        self, mistake: Any
    ) -> None:
        line = mistake(
            "flow: generate\nconditions:\n  - {formula: NaCl}\n"
            "  - {formula: CaTiO3, space_group: 227}\ngenerate: {constrain: {max_atoms: 10}}\n"
        )
        assert line.startswith("line 4: conditions.1: ")
        assert "227" in line


class TestMakers:
    """Sections set fields of the steps' Makers, and leave the others as they are."""

    def test_fields_of_every_step(self, load: Any) -> None:
        maker = load(
            MINIMAL + "name: perovskites\n"
            "retrieve: {pool: pools/pool.json, strategy: CFR, shots: 5}\n"
            "generate: {num_samples: 7, sampling: {seed: 3, top_k: 50}, constrain: false}\n"
            "validate: {processes: 2}\nevaluate: {novelty: true}\n"
        ).maker
        assert maker.name == "perovskites"
        assert maker.retrieve_maker.pool == str(Path("pools/pool.json").absolute())
        assert (maker.retrieve_maker.strategy, maker.retrieve_maker.shots) == ("CFR", 5)
        assert maker.retrieve_maker.seed == 0
        assert maker.generate_maker.num_samples == 7
        assert (maker.generate_maker.sampling.seed, maker.generate_maker.sampling.top_k) == (3, 50)
        assert maker.generate_maker.sampling.temperature == 0.9
        assert maker.generate_maker.constrain is False
        assert maker.validate_maker.processes == 2
        assert maker.evaluate_maker.novelty

    def test_a_step_is_left_out(self, load: Any) -> None:
        described = load(MINIMAL + "retrieve: false\nevaluate: false\n")
        assert [step(job.name) for job in described.jobs] == ["generate", "validate"]

    def test_an_empty_section_changes_nothing(self, load: Any) -> None:
        assert len(load(MINIMAL + "retrieve:\n").jobs) == 4

    def test_relaxation_makers_with_fields_at_any_depth(self, load: Any) -> None:
        pytest.importorskip("atomate2")
        maker = load(
            "flow: discover\nconditions: {formula: CaTiO3}\noptions: {n_generate: 3, n_dft: 1}\n"
            "relax: {maker: ForceFieldRelaxMaker, force_field_name: CHGNet, steps: 9}\n"
            "dft:\n  maker: atomate2.vasp.flows.core.DoubleRelaxMaker\n"
            "  relax_maker1: {input_set_generator: {user_incar_settings: {ENCUT: 600}}}\n"
            "generate: {shard_size: 2}\n"
        ).maker
        assert (maker.n_generate, maker.n_dft, maker.n_relax) == (3, 1, None)
        assert maker.relax_maker.steps == 9
        assert maker.generation_maker.generate_maker.shard_size == 2
        first, second = maker.dft_maker.relax_maker1, maker.dft_maker.relax_maker2
        assert first.input_set_generator.user_incar_settings == {"ENCUT": 600}
        assert second.input_set_generator.user_incar_settings == {}
        # a second file begins with the Makers' own defaults
        again = load(
            "flow: discover\nconditions: {formula: CaTiO3}\nrelax: DoubleRelaxMaker\n"
        ).maker
        settings = again.relax_maker.relax_maker1.input_set_generator.user_incar_settings
        assert settings == {}

    def test_training_with_its_settings(self, load: Any) -> None:
        described = load(
            "flow: train\ndata: prototypes\ninstructions: {mixture: base, limit: 10}\n"
            "train: {method: base, loop: {epochs: 2, learning_rate: 1e-3}}\n"
        )
        assert [job.name for job in described.jobs] == ["instructions", "train", "card"]
        assert described.maker.train_maker.loop.epochs == 2
        assert described.maker.train_maker.loop.learning_rate == 1e-3

    def test_a_benchmark_with_its_rows(self, load: Any, tmp_path: Path) -> None:
        Path("mp_20_test.csv").write_text("material_id,cif\n")
        described = load(
            "flow: benchmark\noptions: {repeats: 2}\n"
            "suite: {of: conditional, dataset: mp_20_test.csv, limit: 5, shots: [0, 3]}\n"
        )
        names = [job.name for job in described.jobs]
        assert len(names) == 2 * 2 * 2 + 1
        assert names[-1] == "tables"
        run = described.jobs[0].function_args[0]
        assert run["setting"]["dataset"] == str(tmp_path / "mp_20_test.csv")
        assert run["setting"]["limit"] == 5

    def test_any_other_maker_by_its_module(self, load: Any) -> None:
        described = load(
            "flow: crystalicl_jobflow.jobs.RetrieveMaker\noptions: {shots: 1}\n"
            "conditions: [{formula: CaTiO3}]\n"
        )
        assert [job.name for job in described.jobs] == ["retrieve CaTiO3"]
        assert described.maker.shots == 1

    def test_arguments_of_another_makers_make(self, load: Any) -> None:
        described = load("flow: crystalicl_jobflow.jobs.ValidateMaker\ninputs: {generations: []}\n")
        assert described.jobs[0].function_kwargs == {"generations": []}

    def test_metadata_reaches_every_job(self, load: Any) -> None:
        described = load(MINIMAL + "metadata: {run: first}\n")
        assert all(job.metadata["run"] == "first" for job in described.jobs)


MISTAKES = [
    ("", "a Flow is described by a mapping"),
    ("- 1\n", "a Flow is described by a mapping"),
    ("conditions: {}\n", "'flow' is missing: generate, discover, train, benchmark"),
    ("flow: generat\n", "line 1: flow: generat: there is no such Flow; did you mean generate?"),
    ("flow: no.such.Maker\n", "line 1: flow: no.such.Maker: no module no"),
    ("flow: crystalicl_jobflow.jobs.RetriveMaker\n", "did you mean RetrieveMaker?"),
    ("flow: crystalicl_jobflow.schemas.Condition\n", "is no Maker"),
    ("flow: generate\n", "generate needs 'conditions'"),
    ("flow: discover\nconditions: {}\n", "discover needs 'relax'"),
    (MINIMAL + "genrate: {}\n", "line 3: genrate: there is no such field; did you mean generate?"),
    (MINIMAL + "relax: {}\n", "line 3: relax: generate has no such step; it has retrieve,"),
    (MINIMAL + "known: mp.csv\n", "line 3: known: generate takes no known"),
    (MINIMAL + "references: truth.csv\n", "line 3: references: truth.csv does not exist"),
    (
        MINIMAL + "generate:\n  num_sampels: 5\n",
        "line 4: generate.num_sampels: GenerateMaker: there is no such field; did you mean"
        " num_samples?",
    ),
    (
        MINIMAL + "generate:\n  num_samples: many\n",
        "line 4: generate.num_samples: should be a valid integer",
    ),
    (MINIMAL + "generate: {num_samples: 0}\n", "line 3: generate.num_samples: num_samples must be"),
    (
        MINIMAL + "generate:\n  sampling:\n    temprature: 1\n",
        "line 5: generate.sampling.temprature: there is no such field; did you mean temperature?",
    ),
    (
        MINIMAL + "generate:\n  sampling:\n    temperature: 0\n",
        "line 5: generate.sampling.temperature: should be greater than 0",
    ),
    (MINIMAL + "generate: {constrain: {max_atom: 9}}\n", "constrain: max_atom"),
    (MINIMAL + "generate: {text_format: sgx}\n", "no text format 'sgx'"),
    (MINIMAL + "generate: {batch_size: null}\n", "generate.batch_size: should be a valid integer"),
    (MINIMAL + "generate: {num_threads: few}\n", "generate.num_threads: should be a valid integer"),
    (MINIMAL + "retrieve: {pool: 5}\n", "line 3: retrieve.pool: should be a text or Path or"),
    (MINIMAL + "generate: false\n", "line 3: generate: this step cannot be left out"),
    (MINIMAL + "validate: false\n", "evaluate_maker needs a validate_maker"),
    (MINIMAL + "retrieve: {strategy: X}\n", "line 3: retrieve.strategy: should be 'C', 'F'"),
    (MINIMAL + "retrieve: {pool: 'memory:'}\n", "line 3: retrieve.pool: a pool in memory"),
    (MINIMAL + "options: {generate_maker: {}}\ngenerate: {}\n", "set here and under options"),
    (MINIMAL + "options: {nmae: x}\n", "line 3: options.nmae: CrystalGenerationFlowMaker"),
    (MINIMAL + "inputs: {conditons: []}\n", "line 3: inputs.conditons: there is no such argument"),
    (MINIMAL + "manager: slurm\n", "line 3: manager: should be 'local', 'jobflow-remote'"),
    (
        MINIMAL + "workers: {generaton: gpu}\n",
        "line 3: workers.generaton: there is no such step; did you mean generation?",
    ),
    (MINIMAL + "workers: {generation: [gpu]}\n", "line 3: workers.generation: should be"),
    (MINIMAL + "workers:\n  generation: {recources: {}}\n", "line 4: workers.generation.recources"),
    (MINIMAL + "flow: discover\n", "line 3: no YAML: 'flow' is given twice, first in line 1"),
    (MINIMAL + "retrieve: [\n", "line 4: no YAML: "),
    ("\tflow: generate\n", "line 1: no YAML: "),
    (
        "flow: discover\nconditions: {}\nrelax: {maker: ForceFeildRelaxMaker}\n",
        "line 3: relax.maker: ForceFeildRelaxMaker: there is no such Maker; did you mean"
        " ForceFieldRelaxMaker?",
    ),
    ("flow: discover\nconditions: {}\nrelax: {steps: 5}\n", "name a Maker: 'maker: Double"),
    ("flow: benchmark\nsuite: {of: all, dataset: x}\n", "line 2: suite.of: all: there is no such"),
    ("flow: benchmark\nsuite: {dataset: x.csv}\n", "line 2: suite.dataset: x.csv does not exist"),
    ("flow: benchmark\nsuite: {datset: x}\n", "did you mean dataset?"),
    (
        "flow: crystalicl_jobflow.flows.BenchmarkFlowMaker\ninputs: {suite: 5}\n",
        "line 2: inputs.suite: the suite of a benchmark is a mapping",
    ),
    (
        "flow: crystalicl_jobflow.jobs.RetrieveMaker\ninputs:\n  conditions: [{formulla: NaCl}]\n",
        "line 3: inputs.conditions.0.formulla: there is no such field; did you mean formula?",
    ),
    ("flow: benchmark\nsuite: {}\n", "line 2: suite.dataset: field required"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words[:50] for _, words in MISTAKES])
def test_a_mistake_is_one_line_that_names_file_line_and_field(
    mistake: Any, text: str, words: str
) -> None:
    assert words in mistake(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FlowFileError, match=r"nowhere\.yaml does not exist"):
        load_flow_file(tmp_path / "nowhere.yaml")


def test_no_value_is_repeated_in_a_message(mistake: Any) -> None:
    secret = "correct-horse-Battery9"
    for text in (
        f"store: [{secret}]\n",
        f"store: {{docs_store: 1}}\nlaunchpad: {{password: {secret}}}\n",
        f"generate: {{num_samples: {secret}}}\n",
        f"workers: {{default: [{secret}]}}\n",
        f"retrieve: {{pool: 'mongodb://me:{secret}@host/db/pool'}}\n",
        f"generate: {{base_model: 'http://me:{secret}@host:8000/v1#m'}}\n",
    ):
        assert secret not in mistake(MINIMAL + text)


def test_every_field_of_a_file_says_what_it_is() -> None:
    from crystalicl_jobflow.schemas.flow_files import FlowFile, WorkerChoice, WorkerChoices

    for model in (FlowFile, WorkerChoice, WorkerChoices):
        assert all(field.description for field in model.model_fields.values())
