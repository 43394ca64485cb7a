"""Passwords and API keys reach no document, no log and no message."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.candidates import CandidateBuilder, find_documents, open_candidate_store
from crystalicl_jobflow.candidates.writing import retrying
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.flows import TrainFlowMaker
from crystalicl_jobflow.generation import GenerationRequest
from crystalicl_jobflow.jobs import (
    EvaluateMaker,
    InstructionsMaker,
    RelaxMaker,
    RetrieveMaker,
    SelectMaker,
    TrainMaker,
)
from crystalicl_jobflow.schemas import ModelInfo, SamplingParams
from crystalicl_jobflow.stores import load_job_store, open_store, store_label
from crystalicl_jobflow.utils.redaction import RedactingFilter, has_secrets, redact, redact_document
from model_server import ModelServer, Reply, completion
from reciting import ROCK_SALT, RecitingGenerator

PASSWORD = "correct-horse-Battery9"
KEY = "aB3dEf6hIj9kLm2nOp5q"
URI = f"mongodb://alice:{PASSWORD}@127.0.0.1:9/crystals/pool"
FAST = "?serverSelectionTimeoutMS=50&connectTimeoutMS=50"

WORD = st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=127), min_size=8,
               max_size=24)  # fmt: skip


@given(WORD, WORD, st.sampled_from(["mongodb", "mongodb+srv", "https", "s3", "postgresql"]))
def test_no_user_and_password_in_any_uri(user, password, scheme):
    shown = redact(f"cannot reach {scheme}://{user}:{password}@host:1/db?x=1, gave up")
    assert shown == f"cannot reach {scheme}://host:1/db?x=1, gave up"


@pytest.mark.parametrize(
    "text",
    [
        "mongodb://u:{}@h/d",
        "mongodb://u:p@ss{}@h/d",
        "https://host/v1?api_key={}&x=1",
        "Authorization: Bearer {}",
        "{{'username': 'me', 'password': '{}'}}",
        '{{"api_key": "{}"}}',
        "MP_API_KEY={}",
        "CRYSTALICL_HTTP_API_KEY: {}",
        "token={} was refused",
        "the key sk-proj-{}",
        "hf_{}",
        "ghp_{}",
        "github_pat_{}",
        "AKIA{}",
        "eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl",
        "aws_secret_access_key = {}",
        "mongodb://h/d?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:{}",
        "mongodb://h/d?tls=true&tlsCertificateKeyFilePassword={}&x=1",
        "https://h/v1?access_token={}",
        "https://h/b?X-Amz-Signature={}&X-Amz-Expires=60",
        "access_token={} is old",
        "authorization: {}",
        "Authorization: Basic {}",
        "authorization=token {}",
        "{{'Authorization': '{}'}}",
        "DB_PASS={}",
        "MYSQL_PWD={}",
        "export PGPASSWORD={}",
        "passphrase: {}",
        '{{"a": "{{\\"password\\": \\"{}\\"}}"}}',
        'refused {{\\"password\\": \\"{}\\"}}, gave up',
        'refused {{\\\\\\"api_key\\\\\\": \\\\\\"{}\\\\\\"}}',
        '"password": "two words, {}", "x": 1',
        "'password': 'don\\'t {}'",
        "mongodb:\\/\\/u:{}@h\\/d",
        "AccountName=a;AccountKey={};EndpointSuffix=s",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text):
    assert KEY not in redact(text.format(KEY))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'password': 'abc def', 'x': 1", "'password': '***', 'x': 1"),
        ('password="abc" was refused', 'password="***" was refused'),
        ("api_key=abc; x=1", "api_key=***; x=1"),
    ],
)
def test_what_stands_beside_a_secret_stays(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv", "https", "redis"])
@pytest.mark.parametrize("sign", [*"/?#'\"@:,;&=%!$", "'\"", "/@", "@/", "?a=b@c", "#@"])
def test_a_password_may_hold_any_sign(scheme, sign):
    text = f"cannot reach {scheme}://alice:{PASSWORD}{sign}{KEY}@host:27017/db?x=1, gave up"
    shown = redact(text)
    assert shown == f"cannot reach {scheme}://host:27017/db?x=1, gave up"
    uri = text.split()[2].rstrip(",")
    assert has_secrets(uri)
    assert KEY not in redact(json.dumps({"uri": uri, "n": 1})) + redact(repr([uri]))


@pytest.mark.parametrize("number", [12345678, 0, 1.5])
def test_a_password_may_be_a_number(number):
    spec = {"type": "MongoStore", "database": "d", "password": number}
    assert redact_document(spec)["password"] == "***"
    assert has_secrets(spec)
    assert str(number) not in redact(json.dumps({"password": number}))


OPTIONS = {
    "mongoclient_kwargs": {"authMechanismProperties": {"AWS_SESSION_TOKEN": KEY}},
    "ssh_tunnel": {"tunnel_server_address": "gate:22", "private_key": f"/home/{KEY}"},
    "s3_profile": {"aws_secret_access_key": KEY},
    "s3_resource_kwargs": {"aws_session_token": KEY},
    "azure_client_info": f"DefaultEndpointsProtocol=https;AccountKey={KEY}",
    "headers": {"Authorization": KEY},
    "nested": [{"tls": {"tlsCertificateKeyFilePassword": KEY}}],
    "db_pass": KEY,
    "DB_PASS": KEY,
    "sessionToken": KEY,
    "text": json.dumps({"password": KEY}),
    "text in text": json.dumps(json.dumps({"x": [{"api_key": KEY}]})),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_stores_and_servers_hold_secrets(name):
    spec = {"type": "MongoStore", name: OPTIONS[name]}
    assert has_secrets(spec)
    assert KEY not in json.dumps(redact_document(spec))


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 3, "eos_token": "</s>", "pad_token_id": 2, "tokenizer": "a", "tokens": 4},
        {"key": "task_id", "auth_source": "admin", "ssh_tunnel": None, "username": "alice"},
        {"password": "", "api_key": None, "has_secret": False, "api_key_env": "MY_KEY"},
        {"password": "${DB_PASS}", "uri": "mongodb://alice:${DB_PASS}@h/d"},
        {"credential_type": "DefaultAzureCredential", "bypass": 2, "compass": "N"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_only_sounds_like_a_secret_is_none(options):
    assert not has_secrets(options)


NAMES = (
    "DB_PASS", "MYSQL_PWD", "GITLAB_TOKEN", "AWS_SECRET_ACCESS_KEY", "KEY_PASSPHRASE",
    "MP_API_KEY", "PMG_MAPI_KEY", "CRYSTALICL_HTTP_API_KEY", "CRYSTALICL_DB_PASSWORD",
    "OPENAI_API_KEY", "HF_TOKEN",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_environments_secrets_are_hidden_wherever_they_stand(monkeypatch, name):
    monkeypatch.setenv(name, KEY)
    assert KEY not in redact(f"GET /summary?chemsys=Ca-O failed, headers x {KEY} y")


def test_a_numeric_secret_of_the_environment_does_not_hide_other_numbers(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "123456")
    assert redact("login with 123456 failed") == "login with *** failed"
    assert redact("energy -0.123456 eV, 1234567 rows") == "energy -0.123456 eV, 1234567 rows"


def test_an_environments_secret_is_hidden_in_other_notations(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", 'p@ss/w:"rd')
    assert redact("x p%40ss%2Fw%3A%22rd y") == "x *** y"
    assert redact(r"x p@ss/w:\"rd y") == "x *** y"


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/path/@scope/package",
        "https://medium.com/@user/post?x=1#y",
        "https://host/?mail=me@example.org",
        "http://[::1]:8080/x@y",
        "s3://bucket/key/with:colon/a",
        "K2NaAlF6 at 300 K: Fm-3m, a = 8.12",
        "/home/me@host/pool.json and C:/data/a@b.json",
        '{"formula": "CaTiO3", "space_group": 221}',
        "[Ca, Ti, O] are the elements",
        "key: task_id, key=material_id",
        "the password is not stored",
        "compass=N; bypass=2",
        "authorization is needed",
        "password: ${DB_PASS}",
        "The formula is CaTiO3, not BaTiO3.",
        "tokens: 512, max_new_tokens=768",
        "/data/pool.json: document 3 has no field 'cif'",
        "mongodb://host:27017/crystals/pool?authSource=admin",
        "password-free",
        "a@b is no formula",
        "hf-internal-testing/tiny-random-LlamaForCausalLM",
        "sk-learn-like-names-of-models-stay",
        "server option api_key_env: CRYSTALICL_API_KEY is not set",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_configurations_keep_their_shape():
    spec = {"type": "MongoStore", "host": "h", "username": "u", "password": PASSWORD,
            "mongoclient_kwargs": {"tlsCertificateKeyFilePassword": PASSWORD, "tls": True},
            "uris": [URI], "max_tokens": 3}  # fmt: skip
    shown = redact_document(spec)
    assert PASSWORD not in json.dumps(shown)
    assert shown["host"] == "h"
    assert shown["mongoclient_kwargs"]["tls"] is True
    assert shown["max_tokens"] == 3
    assert redact_document({"api_key_env": "MY_KEY"}) == {"api_key_env": "MY_KEY"}
    assert redact_document({"password": "${DB_PASS}"}) == {"password": "${DB_PASS}"}
    assert has_secrets(spec)
    assert not has_secrets(shown | {"password": ""})


BAD_SPECS = [
    f"mongodb://alice:{PASSWORD}@host",
    f"ftp://alice:{PASSWORD}@host/pool",
    {"type": "MongoStore", "uri": URI, "password": PASSWORD, "colour": "red"},
    {"type": "NoStore", "password": PASSWORD},
    {"docs_store": {"type": "MongoStore", "database": "d", "password": PASSWORD, "colour": 1}},
    {"@module": "maggma.stores.mongolike", "@class": "MongoStore", "password": PASSWORD},
    {"type": "S3Store", "bucket": "b", "index": {"type": "MongoStore", "password": PASSWORD}},
]


@pytest.mark.parametrize("spec", BAD_SPECS, ids=lambda spec: str(spec)[:25])
@pytest.mark.parametrize("opener", [open_store, load_job_store])
def test_no_message_about_a_store_shows_its_password(opener, spec):
    with pytest.raises(ValueError, match=r"store|type|scheme|mongodb") as error:
        opener(spec)
    assert PASSWORD not in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_have_no_password():
    stores = [
        open_store(URI, connect=False),
        MongoStore("d", "c", host=f"mongodb://alice:{PASSWORD}@h", username="u", password=PASSWORD),
        open_store({"type": "MongoURIStore", "uri": URI, "database": "d"}, connect=False),
    ]
    for store in stores:
        assert PASSWORD not in store_label(store)


def test_no_log_shows_a_password(caplog, monkeypatch):
    from pymongo.errors import AutoReconnect

    clock = SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
    monkeypatch.setattr("crystalicl_jobflow.candidates.writing.time", clock)
    calls = []

    def fails() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise AutoReconnect(f"{URI} went away")

    with caplog.at_level(logging.DEBUG):
        retrying(fails)
    assert "does not answer" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_record_is_redacted_before_any_handler_has_put_it_in_words():
    try:
        raise RuntimeError(URI)
    except RuntimeError:
        info = sys.exc_info()
    record = logging.LogRecord("a", logging.ERROR, "a.py", 1, "at %s", (URI,), info)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "at mongodb://127.0.0.1:9/crystals/pool"
    assert record.exc_text.splitlines()[-1] == ("RuntimeError: mongodb://127.0.0.1:9/crystals/pool")
    # what is left may sort behind what was there
    record = logging.LogRecord("a", logging.ERROR, "a.py", 1, "mongodb://a:secret@host", (), None)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "mongodb://host"


@pytest.mark.parametrize("document", [{"auth": KEY}, [{"password": [KEY]}], {"a": {"pass": KEY}}])
def test_a_text_that_is_json_is_read(document):
    assert KEY not in redact(json.dumps(document))


def test_a_password_may_begin_like_a_path(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "/Tr0ub4dor")
    assert redact("login with /Tr0ub4dor failed") == "login with *** failed"


def test_the_logs_filter_redacts_messages_and_exceptions(caplog):
    logger = logging.getLogger("crystalicl_jobflow.test")
    caplog.handler.addFilter(RedactingFilter())
    try:
        raise RuntimeError(URI)
    except RuntimeError:
        logger.exception("while reading %s", URI)
    assert "while reading mongodb://127" in caplog.text
    assert "RuntimeError: mongodb://127.0.0.1:9/crystals/pool" in caplog.text
    assert "Traceback" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", URI + FAST],
        ["pool", "info", "--store", URI + FAST],
        ["pool", "build", "prototypes", "--store", f"mongodb://alice:{PASSWORD}@host"],
        ["query", f"ftp://alice:{PASSWORD}@host/pool"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_command_shows_a_password(arguments):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert PASSWORD not in result.output + str(result.exception)


def test_not_even_a_fault_of_the_program_shows_a_password():
    code = (
        "import sys\nfrom crystalicl_jobflow.utils.redaction import show_traceback\n"
        f"sys.excepthook = show_traceback\nraise RuntimeError('{URI}')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "RuntimeError: mongodb://127.0.0.1" in done.stderr.splitlines()[-1]
    assert PASSWORD not in done.stderr.splitlines()[-1]


class TestDocuments:
    """What jobs store."""

    def test_the_name_of_a_model_has_no_password(self):
        model = ModelInfo(engine="http", base_model=f"https://me:{PASSWORD}@host/v1?api_key={KEY}")
        assert model.base_model == "https://host/v1?api_key=***"
        named = ModelInfo(engine="transformers", base_model="meta-llama/Llama-2-7b-chat-hf")
        assert named.base_model == "meta-llama/Llama-2-7b-chat-hf"

    @pytest.mark.parametrize(
        "pool",
        [
            URI,
            {"type": "MongoStore", "database": "d", "username": "u", "password": PASSWORD},
            MongoStore("d", "c", username="u", password=PASSWORD),
        ],
        ids=["uri", "configuration", "store"],
    )
    def test_a_job_does_not_take_a_password_with_it(self, pool):
        with pytest.raises(ValueError, match=r"write \$\{NAME\}") as error:
            RetrieveMaker(pool=pool)
        assert PASSWORD not in str(error.value)

    @pytest.mark.parametrize(
        "source",
        [
            URI,
            ["train.csv", URI],
            {"type": "MongoStore", "database": "d", "username": "u", "password": PASSWORD},
            MongoStore("d", "c", username="u", password=PASSWORD),
            MongoStore("d", "c", username="u", password=PASSWORD).as_dict(),
        ],
        ids=["uri", "list", "configuration", "store", "serialised"],
    )
    @pytest.mark.parametrize(
        ("maker", "arguments"),
        [
            (TrainMaker(), ["data"]),
            (InstructionsMaker(), ["data"]),
            (TrainFlowMaker(instructions_maker=None), ["data"]),
            (SelectMaker(), ["candidates", "known"]),
            (EvaluateMaker(), ["candidates", "known"]),
            (EvaluateMaker(), ["candidates", "reference_set"]),
            (RelaxMaker(SelectMaker()), ["crystals", "known"]),
        ],
        ids=lambda value: value if isinstance(value, list) else type(value).__name__,
    )
    def test_no_source_of_crystals_takes_a_password_with_it(self, maker, arguments, source):
        given = {name: [] for name in arguments[:-1]} | {arguments[-1]: source}
        with pytest.raises(ValueError, match=r"write \$\{NAME\}") as error:
            maker.make(**given)
        assert PASSWORD not in str(error.value)
        with pytest.raises(ValueError, match=r"write \$\{NAME\}"):
            maker.make(*given.values())

    def test_sources_without_a_password_are_taken(self):
        spec = {"type": "MongoStore", "database": "d", "password": "${POOL_PASSWORD}"}
        made = TrainMaker().make(["train.csv", spec, "mongodb://alice@host/d/c"])
        assert made.function_args[0][1] == spec
        assert made.maker == TrainMaker()

    @pytest.mark.parametrize("field", ["hull", "cache"])
    def test_an_evaluation_does_not_take_a_password_with_it(self, field):
        with pytest.raises(ValueError, match=r"write \$\{NAME\}") as error:
            EvaluateMaker(**{field: URI})
        assert PASSWORD not in str(error.value)

    def test_a_password_can_come_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("POOL_PASSWORD", "p@ss/w:rd")
        spec = "mongodb://alice:${POOL_PASSWORD}@host/crystals/pool"
        assert RetrieveMaker(pool=spec).pool == spec
        assert open_store(spec, connect=False).uri.startswith("mongodb://alice:p%40ss%2Fw%3Ard@h")
        store = open_store(
            {"type": "MongoStore", "database": "d", "password": "${POOL_PASSWORD}"}, connect=False
        )
        assert store.password == "p@ss/w:rd"
        monkeypatch.delenv("POOL_PASSWORD")
        with pytest.raises(ValueError, match="variable POOL_PASSWORD is not set"):
            open_store(spec, connect=False)

    def test_jobs_and_candidates_hold_none(self, tmp_path: Path, monkeypatch):
        """Run the Flow with keys and passwords in the environment."""
        monkeypatch.setattr(
            "crystalicl_jobflow.generation.load_generator", lambda *a, **k: RecitingGenerator()
        )
        from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
        from crystalicl_jobflow.jobs import GenerateMaker

        secrets = {"MP_API_KEY": KEY, "POOL_PASSWORD": PASSWORD, "CRYSTALICL_API_KEY": KEY[::-1]}
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        config = tmp_path / "pool.yaml"
        config.write_text(f"type: JSONStore\npaths: {tmp_path / 'pool.json'}\n")
        from crystalicl_jobflow.retrieval import fill_pool

        fill_pool("prototypes", str(config), fingerprints=False, limit=12)
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        flow = CrystalGenerationFlowMaker(
            retrieve_maker=RetrieveMaker(pool=str(config), shots=1),
            generate_maker=GenerateMaker(constrain=False),
        ).make([{"formula": "CaTiO3"}])
        submitted = json.dumps([job.as_dict() for job in Flow([flow]).jobs], default=str)
        run_locally(flow, store=store, ensure_success=True, log=False)
        target = open_candidate_store(str(tmp_path / "candidates.sqlite"))
        CandidateBuilder(store, target).run()
        stored = [
            *store.query(load=True), *store.additional_stores["data"].query(),
            *find_documents(target),
        ]  # fmt: skip
        assert len(stored) > 4
        text = submitted + json.dumps(stored, default=str)
        for value in secrets.values():
            assert value not in text


class TestModelServers:
    """A server's key comes from the environment and stays there."""

    @staticmethod
    def echo(status: int) -> Reply:
        """Say what careless servers say."""
        return Reply(status, {"error": {"message": f"bad request; you sent {KEY}"}})

    # a name by which nobody would know a secret
    @pytest.fixture(params=["CRYSTALICL_API_KEY", "GPU_HUSKY"])
    def options(self, request, monkeypatch) -> dict[str, str]:
        monkeypatch.setenv(request.param, KEY)
        return {"api_key_env": request.param}

    def test_a_server_that_repeats_the_key(self, options, caplog):
        from crystalicl_jobflow.generation import GenerationError, load_generator

        with caplog.at_level(logging.DEBUG), ModelServer() as server:
            for status in (401, 500):
                server.models_reply = self.echo(status)
                with pytest.raises(GenerationError) as error:
                    load_generator(server.url, server={**options, "kind": "openai"})
                assert KEY not in str(error.value)
            server.models_reply, server.answer = None, lambda body: self.echo(403)
            with pytest.raises(GenerationError, match="403") as error:
                load_generator(server.url, server=options).generate(
                    [GenerationRequest("p")], SamplingParams()
                )
            assert any(KEY in str(headers) for headers in server.headers)
        assert KEY not in str(error.value) + repr(error.value.__cause__)
        assert KEY not in caplog.text

    def test_jobs_and_candidates(self, options, caplog):
        from crystalicl_jobflow.jobs import GenerateMaker
        from crystalicl_jobflow.validation.validate import build_candidates

        def answer(body):
            return self.echo(400) if len(server.bodies) > 1 else completion(ROCK_SALT)

        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        with caplog.at_level(logging.DEBUG), ModelServer(answer) as server:
            job = GenerateMaker(
                base_model=server.url, num_samples=3, constrain=False, server=options
            ).make({"formula": "NaCl"})
            submitted = json.dumps(job.as_dict(), default=str)
            run_locally(job, store=store, ensure_success=True, log=False)
            assert any(KEY in str(headers) for headers in server.headers)
        candidates = build_candidates(job.output.resolve(store).generations)
        assert sum(item.failure_reason == "not_generated" for item in candidates) == 2
        stored = [*store.query(load=True), *store.additional_stores["data"].query()]
        text = submitted + json.dumps(stored, default=str) + caplog.text
        assert KEY not in text + "".join(item.model_dump_json() for item in candidates)

    @pytest.mark.parametrize(
        "address",
        [f"http://alice:{PASSWORD}@h:1/v1#m", f"http://h:1/v1?api_key={PASSWORD}#m"],
        ids=["user", "query"],
    )
    def test_an_address_holds_none(self, address):
        from crystalicl_jobflow.generation import GenerationError, load_generator
        from crystalicl_jobflow.jobs import GenerateMaker

        for take in (load_generator, lambda name: GenerateMaker(base_model=name)):
            with pytest.raises(GenerationError, match="environment variable") as error:
                take(address)
            assert PASSWORD not in str(error.value)
        result = CliRunner().invoke(
            cli, ["generate", "--formula", "NaCl", "--shots", "0", "--model", address]
        )
        assert result.exit_code == 2
        assert PASSWORD not in result.output + str(result.exception)

    def test_a_key_that_cannot_be_one_is_not_shown(self, monkeypatch):
        from crystalicl_jobflow.generation import GenerationError, load_generator

        monkeypatch.setenv("CRYSTALICL_API_KEY", f"{KEY}\n{KEY}")
        with pytest.raises(GenerationError, match="value of CRYSTALICL_API_KEY cannot be") as error:
            load_generator("http://127.0.0.1:9/v1#m")
        assert KEY not in str(error.value)
