"""Addresses and options, what a server is found to be, and what each program is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crystalicl_jobflow.generation import GenerationError, GenerationRequest, load_generator
from crystalicl_jobflow.generation.constraints import build_constraint
from crystalicl_jobflow.generation.http_engine import ServerOptions, is_server, parse_address
from crystalicl_jobflow.generation.http_engine.engine import HTTPGenerator
from crystalicl_jobflow.schemas import Condition, SamplingParams
from model_server import ModelServer, Reply, chat, completion

REQUEST = GenerationRequest("### Response:")
TRANSFORMERS_ROUTES = {
    "/openapi.json": {
        "paths": {
            "/v1/completions": {},
            "/v1/chat/completions": {},
            "/load_model": {},
            "/reset": {},
        }
    }
}


def generator(server: ModelServer, model: str = "", **options: Any) -> HTTPGenerator:
    address = parse_address(f"{server.url}#{model}" if model else server.url)
    return HTTPGenerator(address, ServerOptions(**{"backoff": 0.0, **options}))


def sent(server: ModelServer, sampling: SamplingParams | None = None, **options: Any) -> Any:
    """Return the body of a request for one text under a constraint."""
    constraint = build_constraint(Condition(formula="NaCl", space_group=225))
    request = GenerationRequest("### Response:", constraint=constraint)
    generator(server, **options).generate([request], sampling or SamplingParams(max_redraws=0))
    return server.bodies[-1]


def keys(server: ModelServer) -> set[str | None]:
    return {headers.get("Authorization") for headers in server.headers}


class TestAddresses:
    @pytest.mark.parametrize(
        ("name", "url", "model"),
        [
            ("http://gpu7:8000/v1#my/model", "http://gpu7:8000/v1", "my/model"),
            ("http://gpu7:8000", "http://gpu7:8000/v1", None),
            ("HTTPS://api.example.org/llm/v1/", "https://api.example.org/llm/v1", None),
            ("http://[::1]:8000/v1#/models/a@main", "http://[::1]:8000/v1", "/models/a@main"),
        ],
    )
    def test_are_read(self, name: str, url: str, model: str | None) -> None:
        assert is_server(name)
        address = parse_address(name)
        assert (address.url, address.model) == (url, model)

    @pytest.mark.parametrize("name", ["embedded", "meta-llama/Llama-2-7b", "./http", "/models/a"])
    def test_other_names_are_models(self, name: str) -> None:
        assert not is_server(name)

    @pytest.mark.parametrize("name", ["http://", "http://host:port/v1", "http://[::1/v1"])
    def test_what_is_none_is_one_line(self, name: str) -> None:
        with pytest.raises(GenerationError, match="no address of a model server"):
            parse_address(name)

    def test_the_server_itself_is_what_stands_before_the_version(self) -> None:
        assert parse_address("http://h:1/v1").root == "http://h:1"
        assert parse_address("http://h:1/gate/v1").root == "http://h:1/gate"
        assert parse_address("http://localhost:1").is_local
        assert not parse_address("http://gpu7:1").is_local


class TestOptions:
    def test_come_on_top_of_the_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from crystalicl_jobflow.settings import SETTINGS

        monkeypatch.setattr(SETTINGS, "SERVER", {"timeout": 5, "retries": 1})
        options = ServerOptions.build({"retries": 2})
        assert (options.timeout, options.retries) == (5, 2)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"colour": 1}, "server option 'colour' is not one of kind, endpoint"),
            ({"timeout": -1}, "server option timeout: Input should be greater than 0"),
            ({"endpoint": "mail"}, "server option endpoint: Input should be 'auto', 'compl"),
            ({"api_key_env": "A B"}, "server option api_key_env"),
        ],
    )
    def test_mistakes_are_one_line(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(GenerationError, match=message) as error:
            ServerOptions.build(options)
        assert "\n" not in str(error.value)

    def test_the_environment_sets_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from crystalicl_jobflow.settings import CrystalICLSettings

        monkeypatch.setenv("CRYSTALICL_SERVER", '{"concurrency": 64}')
        assert CrystalICLSettings().SERVER == {"concurrency": 64}


class TestLoading:
    def test_the_same_arguments_give_the_same_object(self) -> None:
        with ModelServer() as server:
            first = load_generator(server.url, server={"timeout": 9})
            assert load_generator(server.url, server={"timeout": 9}) is first
            assert load_generator(server.url, server={"timeout": 8}) is not first
            assert load_generator(server.url, "none", device="cuda").info.engine == "http/vllm"

    @pytest.mark.parametrize(
        "options",
        [{"adapter": "a"}, {"revision": "r"}, {"adapter_revision": "r"}, {"quantization": "4bit"},
         {"dtype": "float16"}],
        ids=lambda options: next(iter(options)),
    )  # fmt: skip
    def test_what_the_server_decides_is_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(GenerationError, match="a model server has been started with its own"):
            load_generator("http://127.0.0.1:9/v1#m", **options)  # type: ignore[arg-type]

    def test_options_need_a_server(self) -> None:
        with pytest.raises(GenerationError, match=r"server options \(timeout\) are for a model"):
            load_generator("embedded", server={"timeout": 3})

    def test_nobody_there_is_one_line(self) -> None:
        with pytest.raises(GenerationError, match=r"http://127.0.0.1:9/v1 cannot be used: no conn"):
            load_generator("http://127.0.0.1:9/v1#m")


class TestWhatAServerIs:
    def test_the_only_model_needs_no_name(self) -> None:
        with ModelServer() as server:
            info = generator(server).info
        assert (info.engine, info.base_model, info.device) == ("http/vllm", "crystals", server.url)
        assert (info.adapter, info.base_revision) == (None, None)

    def test_versions_are_the_servers(self) -> None:
        with ModelServer() as server:
            assert generator(server).versions == {"server vllm": "0.12.0"}

    def test_an_adapter_is_told_from_its_base(self) -> None:
        models = [{"id": "base", "owned_by": "vllm"}, {"id": "tuned", "parent": "base"}]
        with ModelServer(models=models) as server:
            info = generator(server, "tuned").info
            assert (info.base_model, info.adapter) == ("base", "tuned")
            assert generator(server, "base").info.adapter is None

    def test_several_models_need_a_name(self) -> None:
        models = [{"id": f"m{i}"} for i in range(8)]
        with (
            ModelServer(models=models) as server,
            pytest.raises(GenerationError, match=r"has m0, m1, m2, m3, m4 and 3 more: name one"),
        ):
            _ = generator(server).info

    def test_a_model_that_is_not_there(self) -> None:
        with (
            ModelServer() as server,
            pytest.raises(GenerationError, match="has no model 'other', only crystals"),
        ):
            _ = generator(server, "other").info

    def test_a_server_that_lists_none_is_taken_at_its_word(self) -> None:
        with ModelServer(pages={}) as server:
            server.models_reply = Reply(404, {})
            assert generator(server, "any").info.base_model == "any"
            with pytest.raises(GenerationError, match="has no list of models: name one"):
                _ = generator(server).info

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_is_asked_for_by_name(self, status: int) -> None:
        with ModelServer() as server:
            server.models_reply = Reply(status, {"error": "Unauthorized"})
            with pytest.raises(GenerationError, match="the key in CRYSTALICL_API_KEY, or needs"):
                _ = generator(server).info

    def test_what_is_no_model_server(self) -> None:
        with ModelServer() as server:
            server.models_reply = Reply(200, "<html>a wiki</html>")
            with pytest.raises(GenerationError, match="not JSON"):
                _ = generator(server).info

    def test_transformers_tells_its_model_by_answering(self) -> None:
        """Its list is that of the machine's cache, or a failure where there is no cache."""
        with ModelServer(lambda body: completion("a"), pages=TRANSFORMERS_ROUTES) as server:
            server.models_reply = Reply(500, "Internal Server Error")
            model = generator(server)
            assert model.info.engine == "http/transformers"
            assert model.info.base_model == "crystals"
            assert server.bodies == [{"max_tokens": 1, "prompt": "a"}]
            assert generator(server, "/models/a").info.base_model == "crystals"
            assert server.bodies[1]["model"] == "/models/a"
            server.answer = lambda body: Reply(400, {"detail": "Server is pinned to 'b'"})
            with pytest.raises(GenerationError, match=r"does not serve the model 'a'.*pinned to"):
                _ = generator(server, "a").info
            with pytest.raises(GenerationError, match="serves no model of its own choice"):
                _ = generator(server).info


class TestWhatIsSent:
    def test_sampling(self) -> None:
        sampling = SamplingParams(temperature=0.7, top_p=0.8, top_k=40, max_new_tokens=50,
                                  max_redraws=0)  # fmt: skip
        with ModelServer() as server:
            body = sent(server, sampling)
        assert body["model"] == "crystals"
        assert body["prompt"] == "### Response:"
        assert (body["temperature"], body["top_p"], body["top_k"]) == (0.7, 0.8, 40)
        assert body["max_tokens"] == 50
        assert body["stop"] == ["### Instruction", "### Response"]
        assert "n" not in body
        assert server.paths == ["/v1/completions"]

    @pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp"])
    def test_no_default_of_a_program_or_a_model_slips_in(self, owner: str) -> None:
        """A model's own configuration may hold a top_k or a penalty for repetitions."""
        with ModelServer(models=[{"id": "m", "owned_by": owner}]) as server:
            body = sent(server)
        assert (body["top_k"], body["min_p"]) == (-1, 0.0)
        assert 1.0 in (body.get("repetition_penalty"), body.get("repeat_penalty"))

    def test_other_servers_get_no_more_than_the_protocol_knows(self) -> None:
        with ModelServer(models=[{"id": "m", "owned_by": "openai"}], pages={}) as server:
            body = sent(server, SamplingParams(top_k=20, max_redraws=0))
        assert set(body) == {"model", "prompt", "temperature", "top_p", "max_tokens", "seed",
                             "stop"}  # fmt: skip

    def test_the_likeliest_token_is_temperature_0(self) -> None:
        with ModelServer() as server:
            body = sent(server, SamplingParams(top_k=1, max_redraws=0))
        assert body["temperature"] == 0
        assert "top_k" not in body

    def test_further_fields_win(self) -> None:
        with ModelServer() as server:
            body = sent(server, extra={"top_p": 0.5, "repetition_penalty": 1.1})
        assert (body["top_p"], body["repetition_penalty"]) == (0.5, 1.1)

    @pytest.mark.parametrize(
        ("owner", "pages", "field"),
        [
            ("vllm", {"/version": {"version": "0.12.0"}}, "structured_outputs"),
            ("vllm", {"/version": {"version": "0.11.2.dev3"}}, "structured_outputs"),
            ("vllm", {}, "structured_outputs"),
            ("vllm", {"/version": {"version": "0.10.2"}}, "guided_grammar"),
            ("sglang", {"/get_server_info": {"version": "0.5.4"}}, "ebnf"),
            ("llamacpp", {"/props": {"build_info": "b7000"}}, "grammar"),
            ("somebody", {}, None),
        ],
    )
    def test_the_grammar_goes_where_the_server_takes_it(
        self, owner: str, pages: dict[str, Any], field: str | None
    ) -> None:
        fields = {"structured_outputs", "guided_grammar", "ebnf", "grammar"}
        with ModelServer(models=[{"id": "m", "owned_by": owner}], pages=pages) as server:
            body = sent(server)
            without = sent(server, grammar=False)
        assert fields & set(body) == ({field} if field else set())
        assert not fields & set(without)
        if field:
            grammar = body[field]["grammar"] if field == "structured_outputs" else body[field]
            assert grammar.startswith('root ::= "\\n### " cell0')

    def test_transformers_is_told_to_draw_and_asked_for_one_text_at_a_time(self) -> None:
        """Its seed is the whole process's, and it refuses fields that it does not know."""
        with ModelServer(
            lambda body: completion("a"), pages=TRANSFORMERS_ROUTES, models=[]
        ) as server:
            generator(server, "m", concurrency=8).generate(
                [GenerationRequest("a", 12)], SamplingParams()
            )
            body = sent(server)
        assert server.most_under_way == 1
        assert json.loads(body["generation_config"]) == {
            "do_sample": True, "top_k": 0, "repetition_penalty": 1.0,
        }  # fmt: skip
        known = {"model", "prompt", "temperature", "top_p", "max_tokens", "seed", "stop"}
        assert set(body) <= known | {"generation_config"}

    def test_the_key_is_a_bearer_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CRYSTALICL_API_KEY", "abc123def456")
        monkeypatch.setenv("MY_SERVERS_KEY", "ghi789")
        with ModelServer() as server:
            generator(server).generate([REQUEST], SamplingParams())
            assert keys(server) == {"Bearer abc123def456"}
            server.headers.clear()
            generator(server, api_key_env="MY_SERVERS_KEY").generate([REQUEST], SamplingParams())
            assert keys(server) == {"Bearer ghi789"}
            server.headers.clear()
            monkeypatch.delenv("CRYSTALICL_API_KEY")
            generator(server).generate([REQUEST], SamplingParams())
            assert keys(server) == {None}
            with pytest.raises(GenerationError, match="variable NOT_SET of the server's key"):
                generator(server, api_key_env="NOT_SET").generate([REQUEST], SamplingParams())


class TestChat:
    def test_a_server_without_completions_gets_messages(self) -> None:
        with ModelServer(lambda body: chat("a text"), chat_only=True) as server:
            ((first, *_),) = generator(server).generate(
                [GenerationRequest("### Response:", 3)], SamplingParams()
            )
        assert first.text == "a text"
        assert set(server.paths) == {"/v1/chat/completions"}
        assert server.bodies[0]["messages"] == [{"role": "user", "content": "### Response:"}]

    def test_what_the_server_says_about_itself_is_enough(self) -> None:
        pages = {"/openapi.json": {"paths": {"/v1/chat/completions": {}}}}
        with ModelServer(
            lambda body: chat("a"), chat_only=True, pages=pages, models=[{"id": "m"}]
        ) as server:
            generator(server).generate([REQUEST], SamplingParams())
        assert server.paths == ["/v1/chat/completions"]

    def test_the_route_can_be_chosen(self) -> None:
        with ModelServer(lambda body: chat("a")) as server:
            body = sent(server, endpoint="chat")
            assert "prompt" not in body
            assert server.paths == ["/v1/chat/completions"]
            # a chat's answer begins a text of its own
            assert body["structured_outputs"]["grammar"].startswith('root ::= "### " cell0')
        with (
            ModelServer(chat_only=True) as server,
            pytest.raises(GenerationError, match="takes no such request: the server answers 404"),
        ):
            sent(server, endpoint="completions")

    def test_an_answer_without_words_is_an_empty_text(self) -> None:
        with ModelServer(lambda body: chat(None)) as server:
            ((found,),) = generator(server, endpoint="chat").generate([REQUEST], SamplingParams())
        assert (found.text, found.error) == ("", None)
