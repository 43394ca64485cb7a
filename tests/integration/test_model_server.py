"""Models on servers through jobs, commands and benchmarks; a real server among them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks import ModelChoice
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.generation import GenerationError, load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import GenerateMaker
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import Candidate, Condition, Retrieval
from crystalicl_jobflow.validation.validate import build_candidates
from model_server import ModelServer, Reply, completion
from reciting import ROCK_SALT

SALT = {"formula": "NaCl", "space_group": 225}


def run(maker: GenerateMaker, asked: Any) -> Any:
    """Run a job and return its output as another job would get it."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    job = maker.make(asked)
    run_locally(job, store=store, ensure_success=True, log=False)
    return job.output.resolve(store)


def command(*words: str) -> Any:
    return CliRunner().invoke(cli, list(words))


def read(folder: Path) -> list[Candidate]:
    lines = (folder / "candidates.jsonl").read_text().splitlines()
    return [Candidate.model_validate_json(line) for line in lines]


def salt(body: dict[str, Any]) -> Any:
    return completion(response_text(ROCK_SALT))


class TestThroughEveryDoor:
    """The address of a server stands wherever the name of a model does."""

    def test_jobs(self) -> None:
        with ModelServer(salt) as server:
            maker = GenerateMaker(
                base_model=f"{server.url}#crystals",
                num_samples=3,
                server={"concurrency": 2, "retries": 1},
            )
            again = MontyDecoder().process_decoded(json.loads(json.dumps(maker.as_dict())))
            assert again == maker
            document = run(again, SALT)
            assert server.most_under_way <= 2
            url = server.url
        assert document.num_completions == 3
        (generation,) = document.generations
        model = generation.model
        assert (model.engine, model.base_model, model.device) == ("http/vllm", "crystals", url)
        assert generation.versions["server vllm"] == "0.12.0"

    def test_shards_have_the_texts_of_the_whole(self) -> None:
        with ModelServer() as server:
            texts = []
            for shards in (None, 3):
                store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
                job = GenerateMaker(
                    base_model=server.url, num_samples=7, num_shards=shards, constrain=False
                ).make(SALT)
                run_locally(job, store=store, ensure_success=True, log=False)
                (generation,) = job.output.resolve(store).generations
                texts.append([item.text for item in generation.completions])
        assert texts[0] == texts[1]

    def test_commands(self, tmp_path: Path) -> None:
        with ModelServer(salt) as server:
            done = command(
                "generate", "--formula", "NaCl", "--space-group", "225", "--shots", "0",
                "--samples", "3", "--model", server.url, "--server", "concurrency=2",
                "--server", "grammar=false", "--out", str(tmp_path / "out"),
            )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "1 different crystal, 1 valid, of 3 draws" in done.output
        assert all(item.joint_success for item in read(tmp_path / "out"))
        assert not any("structured_outputs" in body for body in server.bodies)

    def test_the_same_command_again_asks_for_what_is_missing(self, tmp_path: Path) -> None:
        replies = [salt({}), Reply(400, {"error": "not now"}), salt({})]
        words = ["generate", "--formula", "NaCl", "--space-group", "225", "--shots", "0",
                 "--samples", "3", "--server", "concurrency=1", "--out", str(tmp_path)]  # fmt: skip
        with ModelServer(lambda body: replies.pop(0)) as server:
            first = command(*words, "--model", server.url)
            assert "1 valid, of 3 draws; 1 draw not valid: not generated" in first.output
            assert "1 of 3 samples got no text from the server" in first.output
            assert [item.failure_reason for item in read(tmp_path)] == [None, "not_generated", None]
            replies.append(salt({}))
            again = command(*words, "--model", server.url)
        assert "1 different crystal, 1 valid, of 3 draws" in again.output
        assert len(server.bodies) == 4
        assert server.bodies[3] == server.bodies[1]

    def test_the_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from crystalicl_jobflow.settings import SETTINGS

        with ModelServer(salt) as server:
            monkeypatch.setattr(SETTINGS, "MODEL", server.url)
            monkeypatch.setattr(SETTINGS, "SERVER", {"extra": {"repetition_penalty": 1.25}})
            assert GenerateMaker().base_model == server.url
            done = command(
                "generate", "--formula", "NaCl", "--shots", "0", "--samples", "1",
                "--out", str(tmp_path / "out"),
            )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert server.bodies[0]["repetition_penalty"] == 1.25

    def test_benchmarks(self, tmp_path: Path) -> None:
        structure = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        import pandas as pd

        rows = [{"material_id": f"salt-{i}", "cif": structure.to(fmt="cif")} for i in range(3)]
        pd.DataFrame(rows).to_csv(tmp_path / "salt.csv")
        with ModelServer(salt) as server:
            done = command(
                "benchmark", "conditional", "--dataset", str(tmp_path / "salt.csv"),
                "--condition", "formula,space_group", "--shots", "0",
                "--model", f"{server.url}#crystals", "--server", "concurrency=2",
                "--out", str(tmp_path / "out"),
            )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert len(server.bodies) == 3

    def test_what_decides_a_benchmarks_texts_is_in_its_identity(self) -> None:
        def identity(**options: Any) -> dict[str, Any]:
            return ModelChoice(base_model="http://h:1/v1#m", server=options).identity()

        assert identity(concurrency=4) == identity(timeout=3)
        assert identity(endpoint="chat") != identity()
        assert identity(extra={"top_p": 0.5}) != identity()
        assert "server" not in ModelChoice().identity()


class TestMistakes:
    """One line on the command line and in Python, before anything is submitted."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--model", "http://127.0.0.1:9/v1#m"], "cannot be used: no connection"),
            (["--model", "http://h:1/v1#m", "--adapter", "a"], "started with its own"),
            (["--model", "http://h:1/v1#m", "--server", "colour=1"], "'colour' is not one of kind"),
            (["--model", "http://h:1/v1#m", "--server", "timeout"], "not of the form NAME=VALUE"),
            (["--server", "timeout=3"], "are for a model at an address"),
        ],
        ids=lambda item: item if isinstance(item, str) else None,
    )
    def test_of_commands(self, options: list[str], message: str, tmp_path: Path) -> None:
        done = command(
            "generate", "--formula", "NaCl", "--shots", "0", *options, "--out", str(tmp_path / "o")
        )
        assert done.exit_code == 2
        assert message in done.output
        assert "Traceback" not in done.output

    def test_of_makers(self) -> None:
        with pytest.raises(GenerationError, match="'colour' is not one of"):
            GenerateMaker(base_model="http://h:1/v1#m", server={"colour": 1})
        with pytest.raises(GenerationError, match="must hold no user, password"):
            GenerateMaker(base_model="http://me:pass@h:1/v1#m")

    def test_properties_are_predicted_by_a_model_in_this_process(self, tmp_path: Path) -> None:
        structure = Structure(Lattice.cubic(4.2), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        structure.to(filename=str(tmp_path / "salt.cif"))
        with ModelServer(lambda body: completion(" 5.2")) as server:
            words = ["predict-property", str(tmp_path / "salt.cif"), "--property", "band_gap",
                     "--model", server.url]  # fmt: skip
            refused = command(*words)
            free = command(*words, "--no-constrain")
        assert refused.exit_code == 2
        assert "constraint on single tokens" in refused.output
        assert free.exit_code == 0, free.output
        assert "1 of 1 answered" in free.output


CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Leaves a prompt as the tokenizer makes it: both routes then ask the same of the model."""

WAIT_SECONDS = 300


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the shipped model, adapter included, with ``transformers serve``; its address."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("no transformers serve: pip install 'transformers[serving]'")
    folder = tmp_path_factory.mktemp("served")
    model: Any = load_generator("embedded", device="cpu")
    model.causal.model.save_pretrained(folder / "model")
    model.causal.tokenizer.save_pretrained(folder / "model")
    # in the folder alone: the tokenizer in this process is shared with other tests
    (folder / "model" / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
    }
    program = Path(sys.executable).with_name("transformers")
    words = [str(program), "serve", str(folder / "model"), "--host", "127.0.0.1"]
    words += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = folder / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(words, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while "Uvicorn running" not in log.read_text():
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"transformers serve does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.mark.slow
class TestTransformersServe:
    """Real crystals by the shipped model behind a real server."""

    CONDITIONS = (
        Condition(formula="CaTiO3", space_group=221),
        Condition(formula="NaCl", space_group=225),
        Condition(formula="TiO2", space_group=136),
        Condition(formula="ZnS", space_group=216),
    )

    def ask(self, served: str, *, count: int = 2, **options: Any) -> Any:
        asked = [
            Retrieval(condition=condition, strategy="C", shots=0, seed=0)
            for condition in self.CONDITIONS
        ]
        batch_size = options.pop("batch_size", 8)
        model = load_generator(served, batch_size=batch_size, server=options or None)
        return generate_for_retrievals(asked, model, num_samples=count)

    def test_crystals_as_asked(self, served: str) -> None:
        generations = self.ask(served)
        for candidate in build_candidates(generations):
            assert candidate.parsed
            assert candidate.success == {"formula": True, "space_group": True}
            model = candidate.provenance.model
            assert model is not None
            assert model.engine == "http/transformers"
            assert model.base_model.endswith("/model@main")
            assert model.device == served
            assert candidate.provenance.num_tokens > 5

    def test_seeds_hold_whatever_else_is_asked(self, served: str) -> None:
        many, few = self.ask(served), self.ask(served, count=1, batch_size=1)
        for first, second in zip(many, few, strict=True):
            assert first.completions[0] == second.completions[0]
            assert first.completions[0].text != "" != first.completions[1].text
        texts = {item.text for generation in many for item in generation.completions}
        assert len(texts) > len(many)

    def test_chat_messages(self, served: str) -> None:
        """With a template that adds nothing, the same draws as from the other route."""
        as_chat = self.ask(served, count=1, endpoint="chat")
        plain = self.ask(served, count=1, endpoint="completions")
        assert [g.completions[0].text.strip() for g in as_chat] == [
            g.completions[0].text.strip() for g in plain
        ]

    def test_the_texts_are_those_of_the_model_in_this_process(self, served: str) -> None:
        """The likeliest text does not depend on streams of random numbers."""
        from crystalicl_jobflow.schemas import SamplingParams

        asked = [
            Retrieval(condition=condition, strategy="C", shots=0, seed=0)
            for condition in self.CONDITIONS
        ]
        likeliest = SamplingParams(top_k=1, max_redraws=0)
        texts = [
            [
                generation.completions[0].text
                for generation in generate_for_retrievals(
                    asked, load_generator(name, device="cpu"), sampling=likeliest, constrain=False
                )
            ]
            for name in (served, "embedded")
        ]
        assert texts[0] == texts[1]

    def test_a_job(self, served: str) -> None:
        document = run(GenerateMaker(base_model=served, num_samples=2), SALT)
        assert document.num_completions == 2
        for item in document.generations[0].completions:
            assert item.finished
            assert "Fm-3m" in item.text

    def test_the_command(self, served: str, tmp_path: Path) -> None:
        done = command(
            "generate", "--formula", "CaTiO3", "--space-group", "221", "--shots", "0",
            "--samples", "4", "--model", served, "--out", str(tmp_path / "out"),
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        candidates = read(tmp_path / "out")
        assert len(candidates) == 4
        assert all(candidate.joint_success for candidate in candidates)

    def test_another_model_than_the_served_one(self, served: str) -> None:
        with pytest.raises(GenerationError, match="does not serve the model 'somebo") as error:
            self.ask(f"{served}#somebody/else")
        assert "\n" not in str(error.value)


class DrawingServer:
    """What vLLM does with a grammar, by the shipped model: the same library, xgrammar."""

    def __init__(self) -> None:
        xgrammar = pytest.importorskip("xgrammar", reason="xgrammar holds texts to grammars")
        model: Any = load_generator("embedded", device="cpu")
        self.model, self.tokenizer = model.causal.model, model.causal.tokenizer
        size = self.model.config.vocab_size
        self.compiler = xgrammar.GrammarCompiler(
            xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=size)
        )
        self.texts: list[str] = []

    def __call__(self, body: dict[str, Any]) -> Reply:
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        ids = self.tokenizer(body["prompt"], return_tensors="pt")["input_ids"]
        processors = []
        if "structured_outputs" in body:
            grammar = self.compiler.compile_grammar(body["structured_outputs"]["grammar"])
            processors.append(LogitsProcessor(grammar))
        torch.manual_seed(body["seed"])
        written = self.model.generate(
            input_ids=ids,
            do_sample=True,
            temperature=body["temperature"],
            top_p=body["top_p"],
            top_k=0,
            max_new_tokens=body["max_tokens"],
            logits_processor=processors,
        )[0, ids.shape[1] :]
        self.texts.append(self.tokenizer.decode(written, skip_special_tokens=True))
        length = len(written)
        finish = "length" if length >= body["max_tokens"] else "stop"
        return completion(self.texts[-1], finish=finish, tokens=length)


@pytest.mark.slow
def test_a_grammar_holds_a_model_that_is_far_too_hot() -> None:
    """At a temperature at which it writes anything, it still writes what the grammar allows."""
    from crystalicl_jobflow.schemas import FailureReason, SamplingParams
    from crystalicl_jobflow.text import SGS, TextError

    hot = SamplingParams(temperature=4.0, top_p=1.0, max_redraws=0, max_new_tokens=200)
    condition = Condition(formula="CsSnI3", space_group=127)
    asked = Retrieval(condition=condition, strategy="C", shots=0, seed=0)
    drawing = DrawingServer()
    readable = {}
    unequal = 0
    for grammar in (True, False):
        drawing.texts.clear()
        with ModelServer(drawing) as server:
            model = load_generator(server.url, server={"grammar": grammar, "concurrency": 1})
            generations = generate_for_retrievals([asked], model, num_samples=4, sampling=hot)
        found = []
        for text, item in zip(drawing.texts, generations[0].completions, strict=True):
            try:
                crystal = SGS.parse(text)
            except TextError as error:
                # a = b is beyond a grammar: the reader refuses such a cell of a tetragonal group
                unequal += grammar and item.finished and error.reason is FailureReason.BAD_LATTICE
                continue
            if item.finished:
                found.append(crystal)
        readable[grammar] = found
    assert len(readable[True]) + unequal == 4
    assert readable[True]
    for crystal in readable[True]:
        assert crystal.space_group_number == 127
        assert crystal.angles == (90, 90, 90)
        assert {site.species for site in crystal.sites} == {"Cs", "Sn", "I"}
    assert readable[False] == []
