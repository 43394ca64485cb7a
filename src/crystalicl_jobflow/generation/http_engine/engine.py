"""The text generator over an OpenAI-compatible server: vLLM, SGLang, ``transformers serve``."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationError,
    GenerationRequest,
)
from crystalicl_jobflow.generation.constraints.constraint import SGSConstraint
from crystalicl_jobflow.generation.constraints.finished_text import TextCheck, text_check
from crystalicl_jobflow.generation.constraints.grammar import text_grammar
from crystalicl_jobflow.generation.http_engine.client import RequestError, ServerClient
from crystalicl_jobflow.generation.http_engine.options import ServerAddress, ServerOptions
from crystalicl_jobflow.generation.http_engine.protocol import (
    CHAT,
    COMPLETIONS,
    Answer,
    read_answer,
    request_body,
)
from crystalicl_jobflow.generation.http_engine.samples import Sample
from crystalicl_jobflow.generation.http_engine.server import Server, find_server
from crystalicl_jobflow.generation.http_engine.workers import Workers
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams
from crystalicl_jobflow.utils.progress import Progress

logger = logging.getLogger(__name__)

_NO_ROUTE = (404, 405)
_TOLD = 5
"""Number of failed samples that are logged individually."""
_USERS_MISTAKES = frozenset({401, 403, 404, 405, 422})
"""HTTP statuses which, before the first text, mean that no request of this kind will succeed."""


class HTTPGenerator:
    """Continues prompts on a model server.

    One request per draw, each with its own seed, so texts depend neither on the number of
    concurrent requests nor on the other requests. This needs the server's support: vLLM and
    SGLang draw each text from its own random stream; ``transformers serve`` does not, so its
    requests are sent one after the other.

    The key is not part of the object; it is read from the environment at every call of
    :meth:`generate`.

    Parameters
    ----------
    address
        Where the server is.
    options
        Time-outs, retries, routes.
    concurrency
        Maximum number of concurrent requests, where the options name no number.
    """

    def __init__(
        self, address: ServerAddress, options: ServerOptions | None = None, *, concurrency: int = 32
    ) -> None:
        self.address = address
        self.options = options or ServerOptions.build()
        self.concurrency = self.options.concurrency or concurrency
        if self.concurrency < 1:
            raise GenerationError(f"batch size must be at least 1, got {concurrency}")
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """Properties of the server, queried when first needed.

        Raises
        ------
        GenerationError
            If it cannot be reached.
        """
        if self._server is None:
            client = ServerClient(self.address, self.options, concurrency=1)
            try:
                self._server = find_server(client)
            finally:
                client.close()
        return self._server

    @property
    def info(self) -> ModelInfo:
        """The model as the server reports it, and the server's address."""
        server = self.server
        return ModelInfo(
            engine=f"http/{server.kind}",
            base_model=server.base_model,
            adapter=server.adapter,
            device=self.address.url,
            dtype="unknown",
        )

    @property
    def versions(self) -> dict[str, str]:
        """The server's program and version, for provenance."""
        return {f"server {self.server.kind}": self.server.version or "unknown"}

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        """Draw the texts; see :meth:`TextGenerator.generate`.

        Constraints are checked on finished texts, by the same rules as elsewhere; a text that
        violates its constraint is drawn again up to ``sampling.max_redraws`` times. A
        sample for which the server gave no text after all retries is a completion with an
        ``error``, and is not passed to ``on_completion``, so another launch requests it again.

        Raises
        ------
        GenerationError
            Before the first text: if the server cannot be reached, refuses the key or lacks model
            or route, if a constraint works on tokens only, if ``best_of`` needs probabilities
            that the server does not report, or if there is a copy bias. One line.
        """
        checks = [_check(request) for request in requests]
        self._server = None  # the server may have changed since the last call
        server = self.server
        if sampling.best_of > 1 and not server.tells_log_probs:
            raise GenerationError(
                f"best of {sampling.best_of}: {server.kind} servers do not tell log-probabilities"
            )
        if sampling.copy_bias:
            raise GenerationError("a model server draws its texts itself and has no copy bias")
        run = _Run(self, server, requests, sampling, checks)
        return run.finish(accept, progress, on_completion)


def _check(request: GenerationRequest) -> TextCheck | None:
    if request.constraint is None:
        return None
    check = text_check(request.constraint)
    if check is None:
        raise GenerationError(
            f"'{request.constraint.describe()}' is a constraint on single tokens, which a model"
            " server does not offer: use a model in this process, or no constraint"
            " (--no-constrain)"
        )
    return check


class _Run:
    """One call of ``generate``: the queue, the requests in progress and the answers."""

    def __init__(
        self,
        generator: HTTPGenerator,
        server: Server,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        checks: Sequence[TextCheck | None],
    ) -> None:
        self.server = server
        self.options = generator.options
        self.concurrency = 1 if server.runs_one_by_one else generator.concurrency
        self.client = ServerClient(
            generator.address, generator.options, concurrency=self.concurrency
        )
        endpoint = self.options.endpoint
        self.is_chat = endpoint == "chat" or (endpoint == "auto" and server.has_chat_only)
        self.requests = requests
        self.sampling = sampling
        self.has_text = False
        self.num_failed = 0
        self.grammars: dict[int, str | None] = {}
        self.waiting: deque[Sample] = deque()
        for index, (request, check) in enumerate(zip(requests, checks, strict=True)):
            grammar = self._grammar(request)
            self.grammars[index] = grammar
            described = None
            if request.constraint is not None:
                held = "grammar while written, the rest" if grammar else "all"
                described = f"{request.constraint.describe()}; {held} checked on finished texts"
            self.waiting.extend(
                Sample(request, index, number, sampling, check, described)
                for number in range(request.num_samples)
            )

    def _grammar(self, request: GenerationRequest) -> str | None:
        if request.constraint is None or not self.options.grammar:
            return None
        if self.server.grammar_field is None:
            return None
        return text_grammar(request.constraint, opening=self._opening(request))

    def _opening(self, request: GenerationRequest) -> str | None:
        """Return the prefix of a text; a chat's answer starts a new text."""
        if not self.is_chat:
            return None
        constraint = request.constraint
        return constraint.options.line_prefix if isinstance(constraint, SGSConstraint) else ""

    def finish(
        self,
        accept: AcceptText | None,
        progress: Progress | None,
        on_completion: CompletionCallback | None,
    ) -> list[list[Completion]]:
        """Run until every sample has a text or an error."""
        answers: list[dict[int, Completion]] = [{} for _ in self.requests]
        total, done = len(self.waiting), 0
        if progress:
            progress(0, total)
        workers: Workers[Sample, Answer] = Workers(self._draw, self.concurrency)
        try:
            while self.waiting or workers.under_way:
                # one request first, to see whether the server accepts such requests
                one_by_one = not (self.has_text or done)
                while self.waiting and workers.are_free:
                    workers.begin(self.waiting.popleft())
                    if one_by_one:
                        break
                sample, outcome = workers.next_done()
                completion = self._close(sample, outcome, accept)
                if completion is None:
                    self.waiting.appendleft(sample)
                    continue
                answers[sample.request_index][sample.sample_index] = completion
                if on_completion and completion.error is None:
                    on_completion(sample.request_index, completion)
                done += 1
                if progress:
                    progress(done, total)
        finally:
            workers.stop()
            self.client.close()
        if self.num_failed > _TOLD:
            logger.warning("no text for %d of %d samples", self.num_failed, total)
        return [
            [found[number] for number in range(request.num_samples)]
            for request, found in zip(self.requests, answers, strict=True)
        ]

    def _close(
        self, sample: Sample, outcome: Answer | BaseException, accept: AcceptText | None
    ) -> Completion | None:
        """Return a sample's completion, or None where it is drawn again."""
        if isinstance(outcome, RequestError):
            if not self.has_text:
                if self._may_chat(outcome):
                    return None
                self._tell_mistake(outcome)
            self.num_failed += 1
            logger.log(
                logging.WARNING if self.num_failed <= _TOLD else logging.DEBUG,
                "no text for sample %d of request %d: %s",
                sample.sample_index,
                sample.request_index,
                outcome,
            )
            return sample.fail(str(outcome))
        if isinstance(outcome, BaseException):
            raise outcome
        self.has_text = True
        return sample.completion() if sample.take(outcome, accept) else None

    def _may_chat(self, error: RequestError) -> bool:
        """Switch to the chat route where the server has no other."""
        if self.is_chat or self.options.endpoint != "auto" or error.status not in _NO_ROUTE:
            return False
        if "model" in str(error).lower():  # the route exists, the model does not
            return False
        logger.warning("the server has no %s: prompts are sent as chat messages", COMPLETIONS)
        self.is_chat = True
        for index, request in enumerate(self.requests):
            self.grammars[index] = self._grammar(request)
        return True

    def _tell_mistake(self, error: RequestError) -> None:
        url = self.client.address.url
        if error.status in _USERS_MISTAKES:
            raise GenerationError(f"the model server {url} takes no such request: {error}")
        if error.is_outage:
            raise GenerationError(f"the model server {url} cannot be used: {error}")

    def _draw(self, sample: Sample) -> Answer:
        is_chat = self.is_chat
        body = request_body(
            self.server,
            sample.request.prompt,
            self.sampling,
            seed=sample.seed,
            is_chat=is_chat,
            grammar=self.grammars[sample.request_index],
            log_probs=self.sampling.best_of > 1,
            extra=self.options.extra,
        )
        route = CHAT if is_chat else COMPLETIONS
        return self.client.post(route, body, partial(read_answer, is_chat=is_chat))
