"""What was tried against the package: every row of docs/security.md, with its answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

import crystalicl_jobflow
from crystalicl_jobflow.candidates import CandidateBuilder, CandidateQuery, open_candidate_store
from crystalicl_jobflow.stores import load_job_store, open_store, write_documents
from model_server import ModelServer, Reply

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
ROWS = re.findall(r"^\| (.+) \| `(.+)` \|$", PAGE.read_text().split("## What was tried")[1], re.M)
TRAP = {"@module": "trap", "@class": "Trap"}

Attack = Callable[[Path], str]
ATTACKS: dict[str, Attack] = {}
"""Attack, as the page has it → a function that tries it and returns what the user reads."""


def tries(name: str) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        ATTACKS[name] = attack
        return attack

    return register


def refusal(action: Callable[[], Any]) -> str:
    """Return the one line in which something is refused."""
    with pytest.raises((ValueError, RuntimeError)) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def configuration(folder: Path, text: str, name: str = "store.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture(autouse=True)
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that appears when anything of an attacker runs."""
    trace = tmp_path / "trace"
    # a module of the attacker's in the folder where the user works
    work = tmp_path / "work"
    work.mkdir()
    (work / "trap.py").write_text(
        f"open({str(trace)!r}, 'w').close()\nclass Trap:\n"
        "    from_dict = classmethod(lambda cls, d: d)\n"
    )
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    return trace


def test_the_page_lists_what_is_tried() -> None:
    assert len(ROWS) > 25
    assert sorted(attack for attack, _ in ROWS) == sorted(ATTACKS)


@pytest.mark.parametrize(("attack", "answer"), ROWS, ids=[attack for attack, _ in ROWS])
def test_every_attack_is_answered(attack: str, answer: str, tmp_path: Path, trap: Path) -> None:
    found = ATTACKS[attack](tmp_path / "work")
    assert answer in found
    assert not trap.exists(), "something of the attacker's ran"
    assert "trap" not in sys.modules


DECODES = (
    r"\b(?:MontyDecoder|loadfn|process_decoded|pickle\.loads?|eval|exec)\(|trust_remote_code=True"
)


def test_no_module_decodes_objects_by_name() -> None:
    source = Path(crystalicl_jobflow.__file__).parent
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(rf"(?<![.\w]){DECODES}", path.read_text())
    }
    assert found == set()


def test_every_model_is_loaded_without_its_own_code() -> None:
    source = Path(crystalicl_jobflow.__file__).parent
    calls = [
        call
        for path in source.rglob("*.py")
        for call in re.findall(r"\bAuto\w+\.from_pretrained\([^()]*\)?[^()]*\)", path.read_text())
    ]
    assert len(calls) >= 8
    assert [call for call in calls if "trust_remote_code=False" not in call] == []


# ---- store configurations -----------------------------------------------------------------


@tries("a store configuration with `@module` and `@callable`")
def _(folder: Path) -> str:
    spec = {"type": "MemoryStore", "collection_name": {"@module": "trap", "@callable": "Trap"}}
    path = configuration(folder, json.dumps(spec))
    assert "'@callable' is refused" in refusal(lambda: load_job_store({"docs_store": spec}))
    return refusal(lambda: open_store(path))


@tries("a configuration with a Python tag (`!!python/object/apply:os.system`)")
def _(folder: Path) -> str:
    text = f"type: !!python/object/apply:os.system ['touch {folder.parent}/trace']\n"
    return refusal(lambda: open_store(configuration(folder, text)))


@tries("a JSONStore whose `serialization_default` is a function")
def _(folder: Path) -> str:
    spec = {"type": "JSONStore", "paths": "a.json", "serialization_default": "os.system"}
    return refusal(lambda: open_store(configuration(folder, json.dumps(spec))))


@tries("a serialised store of a class that is none (`os.system`)")
def _(folder: Path) -> str:
    for spec in (TRAP, {"@module": "maggma.stores", "@class": "VaultStore"}, {"type": "trap.Trap"}):
        assert "can be configured" in refusal(lambda spec=spec: open_store(spec))
    return refusal(lambda: open_store({"@module": "os", "@class": "system"}))


@tries("a store argument nested in another that names a class")
def _(folder: Path) -> str:
    spec = {"type": "MongoStore", "database": "d", "mongoclient_kwargs": {"appname": TRAP}}
    return refusal(lambda: open_store(spec, connect=False))


@tries("a job store that saves by classes to import")
def _(folder: Path) -> str:
    docs = {"type": "MemoryStore"}
    return refusal(lambda: load_job_store({"docs_store": docs, "save": {"data": [TRAP]}}))


@tries("a MontyDB storage that is a module to import")
def _(folder: Path) -> str:
    spec = {"type": "MontyStore", "database_path": str(folder / "db"), "storage": "trap"}
    return refusal(lambda: open_store(spec))


@tries("a MontyDB folder whose settings name a module to import")
def _(folder: Path) -> str:
    pool = folder / "pool.db"
    pool.mkdir()
    (pool / ".monty.storage").write_text("trap")
    assert open_store(pool).count() == 0
    return "nothing was imported"  # as the caller checks


@tries("YAML aliases that grow without end")
def _(folder: Path) -> str:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]")
    text = "type: MemoryStore\n" + "\n".join(lines)
    return refusal(lambda: open_store(configuration(folder, text)))


@tries("JSON nested a hundred thousand times")
def _(folder: Path) -> str:
    path = configuration(folder, '{"docs_store": ' + "[" * 100_000, "store.json")
    return refusal(lambda: load_job_store(path))


# ---- criteria -----------------------------------------------------------------------------

WHERE = {"$or": [{"value": 1}, {"$and": [{"$where": "__import__('trap')"}]}]}


def asked_with_code(spec: str | Path) -> str:
    store = open_store(spec)
    write_documents(store, [{"demonstration_id": "a", "value": 1}])
    questions = [
        lambda: list(store.query(WHERE)), lambda: store.count(WHERE),
        lambda: store.distinct("value", WHERE), lambda: store.remove_docs(WHERE),
        lambda: store.query_one(WHERE), lambda: list(store.groupby("value", WHERE)),
    ]  # fmt: skip
    answers = {refusal(question) for question in questions}
    assert store.count() == 1
    (answer,) = answers
    return answer


@tries("`$where` in a store in memory")
def _(folder: Path) -> str:
    return asked_with_code("memory:")


@tries("`$where` in a JSON store")
def _(folder: Path) -> str:
    return asked_with_code(folder / "pool.json")


@tries("`$where` in a MontyDB store")
def _(folder: Path) -> str:
    return asked_with_code(folder / "pool.db")


@tries("`$where` in an SQLite store")
def _(folder: Path) -> str:
    return asked_with_code(folder / "pool.sqlite")


@tries("`$function` deep in criteria for candidates")
def _(folder: Path) -> str:
    for name in ("$where", "$expr", "$accumulator"):
        criteria = {"$nor": [{"nsites": {"$not": {name: "1"}}}]}
        assert name in refusal(lambda criteria=criteria: CandidateQuery(criteria=criteria))
    code = {"body": "function() {}", "args": [], "lang": "js"}
    return refusal(lambda: CandidateQuery(criteria={"$or": [{"a": {"$function": code}}]}))


@tries("`$where` in the choice of jobs to collect")
def _(folder: Path) -> str:
    jobs = load_job_store({"docs_store": {"type": "MemoryStore"}})
    jobs.connect()
    jobs.docs_store.update({"uuid": "a", "index": 1})
    assert "$where" in refusal(lambda: list(jobs.query(WHERE)))
    return refusal(lambda: CandidateBuilder(jobs, open_candidate_store("memory:"), query=WHERE))


# ---- documents ----------------------------------------------------------------------------


@tries("a pool whose `last_updated` names a class")
def _(folder: Path) -> str:
    pool = [{"demonstration_id": "a", "last_updated": TRAP, "_id": {"$oid": "x"}}]
    path = configuration(folder, json.dumps(pool), "pool.json")
    return refusal(lambda: open_store(path))


def rock_salt() -> dict[str, Any]:
    crystal = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.7), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return json.loads(json.dumps(crystal.as_dict()))


@tries("a candidate whose structure is another class")
def _(folder: Path) -> str:
    from crystalicl_jobflow.candidates.files import read_candidates
    from crystalicl_jobflow.candidates.metadata_fields import as_structure

    line = json.dumps({"structure": {**rock_salt(), **TRAP}})
    path = configuration(folder, line, "candidates.jsonl")
    assert "no candidate" in refusal(lambda: read_candidates(path))
    return refusal(lambda: as_structure({**rock_salt(), **TRAP}))


@tries("a structure whose site property names a class")
def _(folder: Path) -> str:
    from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
    from crystalicl_jobflow.datasets.records import read_crystal

    document = rock_salt()
    document["sites"][0]["properties"] = {"magmom": TRAP}
    # a pool leaves the value out
    assert set(read_crystal(document).site_properties["magmom"]) == {None}
    return refusal(lambda: structure_from_dict(document))


# ---- models -------------------------------------------------------------------------------


@tries("a model folder with Python files")
def _(folder: Path) -> str:
    from crystalicl_jobflow.generation import load_generator

    model = folder / "model"
    model.mkdir()
    for name in ("configuration", "modeling", "tokenization"):
        (model / f"{name}_trap.py").write_text((folder / "trap.py").read_text())
    config = {
        "model_type": "trap",
        "auto_map": {
            "AutoConfig": "configuration_trap.Trap",
            "AutoModelForCausalLM": "modeling_trap.Trap",
            "AutoTokenizer": ["tokenization_trap.Trap", None],
        },
    }
    (model / "config.json").write_text(json.dumps(config))
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    return refusal(lambda: load_generator(str(model)))


@tries("an adapter whose configuration names a module")
def _(folder: Path) -> str:
    from crystalicl_jobflow.generation import load_generator

    adapter = folder / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj"],
              "megatron_config": {"a": 1}, "megatron_core": "trap"}  # fmt: skip
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return refusal(lambda: load_generator(adapter=str(adapter)))


@tries("an adapter whose tokenizer is a Python file")
def _(folder: Path) -> str:
    from crystalicl_jobflow.generation import load_generator
    from crystalicl_jobflow.generation.model_places import EMBEDDED_FOLDER

    adapter = folder / "adapter"
    shutil.copytree(EMBEDDED_FOLDER / "adapter", adapter)
    (adapter / "tokenization_trap.py").write_text((folder / "trap.py").read_text())
    config = {
        "tokenizer_class": "Trap",
        "auto_map": {"AutoTokenizer": ["tokenization_trap.Trap", None]},
    }
    (adapter / "tokenizer_config.json").write_text(json.dumps(config))
    return refusal(lambda: load_generator(adapter=str(adapter)))


# ---- files --------------------------------------------------------------------------------


def written_cif(folder: Path, formula: str) -> str:
    from crystalicl_jobflow.candidates.shown import CrystalFile
    from crystalicl_jobflow.cli._candidates import write_cifs

    outside = sorted(folder.rglob("*"))
    document = {"structure": rock_salt(), "formula_pretty": formula, "symmetry": {"number": 225},
                "candidate_id": "../../0123456789abcdef"}  # fmt: skip
    out = folder / "cifs"
    (path,) = write_cifs(out, [CrystalFile.of_document(document)])
    assert [path] == list(out.iterdir())
    assert path.resolve().parent == out
    assert "_cell_length_a" in path.read_text()
    assert sorted(folder.rglob("*")) == sorted([*outside, out, path])
    return "the file is in the folder"


@tries("a formula that climbs out of the folder (`../../x`)")
def _(folder: Path) -> str:
    return written_cif(folder, "../../x")


@tries("a formula that is an absolute path")
def _(folder: Path) -> str:
    return written_cif(folder, f"{folder}/x")


@tries("a formula with a NUL, a new line and a device's name")
def _(folder: Path) -> str:
    return written_cif(folder, "/dev/null\0\nNUL:")


@tries("a formula of ten thousand characters")
def _(folder: Path) -> str:
    return written_cif(folder, "食" * 10_000)


@tries("a link in the folder that points out of it")
def _(folder: Path) -> str:
    from crystalicl_jobflow.candidates.shown import CrystalFile, cif_name
    from crystalicl_jobflow.cli._candidates import write_cifs

    outside, out = folder / "outside", folder / "cifs"
    out.mkdir()
    outside.write_text("mine")
    (out / cif_name("NaCl", 225, "abc")).symlink_to(outside)
    document = {"structure": rock_salt(), "formula_pretty": "NaCl", "symmetry": {"number": 225},
                "candidate_id": "abc"}  # fmt: skip
    (path,) = write_cifs(out, [CrystalFile.of_document(document)])
    assert not path.is_symlink()
    assert outside.read_text() == "mine"
    return "what it points to is untouched"


# ---- terminals and servers ----------------------------------------------------------------


@tries("escape characters of a terminal in a text")
def _(folder: Path) -> str:
    name = "\x1b]0;title\x07.csv"
    done = subprocess.run(
        [sys.executable, "-c", "from crystalicl_jobflow.cli import main; main()", "query", name],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "\x1b" not in done.stderr + done.stdout
    return done.stderr


@tries("an error message with markup of rich")
def _(folder: Path) -> str:
    from crystalicl_jobflow.cli._app import UserError

    @click.command()
    def command() -> None:
        raise UserError("[bold]not bold[/bold] [link=file:///etc]x[/link]")

    return CliRunner().invoke(command).output


@tries("a model server's answer without end")
def _(folder: Path) -> str:
    return served(lambda: Reply(body=" " * (33 * 2**20)))


@tries("a model server that repeats the key")
def _(folder: Path) -> str:
    key = "aB3dEf6hIj9kLm2nOp5q"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYSTALICL_API_KEY", key)
        answer = served(lambda: Reply(400, {"error": {"message": f"you sent {key}"}}))
    assert key not in answer
    return answer


def served(reply: Callable[[], Any]) -> str:
    from crystalicl_jobflow.generation.http_engine import ServerOptions, parse_address
    from crystalicl_jobflow.generation.http_engine.client import RequestError, ServerClient

    with ModelServer(lambda body: reply()) as server:
        client = ServerClient(parse_address(server.url), ServerOptions(), concurrency=1)
        with pytest.raises(RequestError) as error:
            client.post("/completions", {"prompt": "p", "seed": 1}, lambda answer: answer)
        client.close()
    return str(error.value)


# ---- the page of `crystalicl serve` -------------------------------------------------------


def asked_page(path: str, *, token: str | None = None, **request: Any) -> str:
    """Return the answer of a page with a store to a request that it refuses."""
    from starlette.testclient import TestClient

    from crystalicl_jobflow.web import Limits
    from crystalicl_jobflow.web.app import build_app
    from crystalicl_jobflow.web.database import Database
    from crystalicl_jobflow.web.guard import Doorkeeping
    from crystalicl_jobflow.web.place import Place
    from crystalicl_jobflow.web.work import Work

    work = Work(lambda question, progress: [], Limits())
    store = Database(lambda: open_candidate_store("memory:"), "candidates", Limits())
    try:
        app = build_app(Place(work, "none", store), Doorkeeping(token=token))
        client = TestClient(app, base_url="http://127.0.0.1:8000")
        method = "POST" if {"json", "content", "data"} & set(request) else "GET"
        answer = client.request(method, path, **request)
        assert not work.runs(), "the question was taken"
    finally:
        work.close()
        store.close()
    assert 400 <= answer.status_code < 500
    return answer.text


@tries("a script as a formula, on the page of `crystalicl serve`")
def _(folder: Path) -> str:
    formula = "<script>alert(1)</script>"
    page = asked_page("/runs", data={"formula": formula}, headers={"accept": "text/html"})
    assert formula not in page
    return page


@tries("a question on the page that names a model")
def _(folder: Path) -> str:
    return asked_page("/runs", json={"formula": "NaCl", "model": str(folder)})


@tries("`$where` as a filter on the page")
def _(folder: Path) -> str:
    return asked_page("/store", params={"$where": "__import__('trap')"})


@tries("another website that asks the page from a visitor's browser")
def _(folder: Path) -> str:
    headers = {"origin": "http://evil.example"}
    return asked_page("/runs", json={"formula": "NaCl"}, headers=headers)


@tries("another website whose name points to this machine")
def _(folder: Path) -> str:
    return asked_page("/store", headers={"host": "evil.example"})


@tries("a visitor without the token")
def _(folder: Path) -> str:
    return asked_page("/store", token="a-token-of-sixteen")


@tries("a request to the page that does not end")
def _(folder: Path) -> str:
    return asked_page("/cif", content=(b"#" * 1000 for _ in range(1000)))


@tries("a CIF file dropped on the page whose symmetry makes 768,000 atoms of it")
def _(folder: Path) -> str:
    lengths = "".join(f"_cell_length_{axis} 50\n" for axis in "abc")
    angles = "".join(f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma"))
    columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z"]
    names = "\n".join(f"_atom_site_{column}" for column in columns)
    rows = "\n".join(f"O{n} O 0.{n:04d}1 0.{n:04d}3 0.{n:04d}7" for n in range(4000))
    group = "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n"
    return asked_page("/cif", content=f"data_x\n{lengths}{angles}{group}loop_\n{names}\n{rows}\n")
