"""One call from budget to answer: take from the budget, send, judge, record, send again.

Several mutations may go in one call, as one GraphQL document. Their root fields are executed one after the other, in
the order of the document (GraphQL specification, October 2021, section 6.2.2). One that fails is null, with an error
that has its alias in ``path``, and the others run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import httpx
import msgspec

from worker.environment import clock
from worker.environment.json_text import json_bytes
from worker.kili.answers import (
    Question,
    json_document,
    judge_root,
    network_error,
    read_answer,
    unreadable,
    upload_error,
)
from worker.kili.budget import BudgetTimeout, CallRecord
from worker.kili.errors import CompressionRefused, GraphQLError, KiliError, NotSent, graphql_errors
from worker.kili.operations import Blame, Operation, Variables, read_ids
from worker.kili.retry import RetryPolicy
from worker.kili.transport import HttpAnswer, KiliAccess, Payload, Transport

Result = TypeVar("Result")


class Budget(Protocol):
    """What a caller needs of :class:`worker.kili.budget.CallBudget`."""

    def acquire(self, stop: threading.Event | None = None, timeout: float | None = None) -> float:
        """Take a call and return the seconds waited."""

    def penalise(self, seconds: float) -> None:
        """Hold back everyone who shares the budget."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One root field: its operation, its variables, and the asset ids of its items in order."""

    operation: Operation
    variables: Variables
    item_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Document:
    """Mutations by alias, in the order in which the server executes them."""

    mutations: Mapping[str, Mutation]

    @property
    def operation(self) -> Operation:
        """What stands for the whole in errors and records."""
        operations = [mutation.operation for mutation in self.mutations.values()]
        name = "+".join(operation.field for operation in operations)
        return Operation("mutation", name, (), "", Blame.ITEMS, heavy=any(operation.heavy for operation in operations))

    @property
    def text(self) -> str:
        """The whole document."""
        declared = ", ".join(one.operation.declared(f"{alias}_") for alias, one in self.mutations.items())
        called = " ".join(f"{alias}: {one.operation.called(f'{alias}_')}" for alias, one in self.mutations.items())
        return f"mutation batch({declared}) {{ {called} }}"

    @property
    def variables(self) -> Variables:
        """The variables of all mutations."""
        return {
            f"{alias}_{name}": value for alias, one in self.mutations.items() for name, value in one.variables.items()
        }

    def read(self, access: KiliAccess, answer: HttpAnswer, *, gzipped: bool) -> dict[str, KiliError | None]:
        """Return by alias None for what went through, and the error of what did not.

        Raises the :class:`~worker.kili.errors.KiliError` that an answer without ``data`` stands for: nothing is known
        of any of the mutations then.
        """
        found = json_document(answer.body)
        data, errors = found.get("data") if 200 <= answer.status < 300 else None, graphql_errors(found)
        if not isinstance(data, dict):
            data = judge_root(Question(self.operation, access, (), gzipped), answer, None, errors)
        return {
            alias: _outcome(
                Question(one.operation, access, one.item_ids, gzipped), answer, data.get(alias), self._of(alias, errors)
            )
            for alias, one in self.mutations.items()
        }

    def _of(self, alias: str, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        """The errors of one mutation; one that names none of them may concern each."""
        return [error for error in errors if error.path[:1] == (alias,) or not self._names_one(error)]

    def _names_one(self, error: GraphQLError) -> bool:
        return bool(error.path) and error.path[0] in self.mutations


def _outcome(question: Question, answer: HttpAnswer, root: Any, errors: list[GraphQLError]) -> KiliError | None:
    try:
        read_ids(judge_root(question, answer, root, errors))
    except KiliError as error:
        return error
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        return unreadable(question, answer, problem)
    return None


@dataclass(frozen=True, slots=True)
class _Request(Generic[Result]):
    """What to send, and how to judge what comes back; ``judge`` returns the result or raises a KiliError."""

    operation: str
    project_id: str | None
    items: int
    costs_a_call: bool
    pack: Callable[[], Payload]
    send: Callable[[Payload], HttpAnswer]
    judge: Callable[[Payload, HttpAnswer], Result]
    outcome: Callable[[Result], str] = lambda _: "ok"


class Caller:
    """Makes calls through one transport, one budget and one retry policy; safe to share among threads."""

    def __init__(
        self,
        access: KiliAccess,
        *,
        budget: Budget | None,
        retry: RetryPolicy,
        http: httpx.Client | None,
        stop: threading.Event | None,
        observe: Callable[[CallRecord], None] | None,
    ) -> None:
        self._access = access
        self._budget = budget
        self._retry = retry
        self._stop = stop or threading.Event()
        self._observe = observe
        self._transport = Transport(access, http)
        self._check: Callable[[], None] | None = None

    def guarded(self, check: Callable[[], None]) -> Caller:
        """The same caller, which calls ``check`` right before each attempt is sent."""
        caller = copy(self)
        caller._check = check
        return caller

    def call(
        self,
        operation: Operation,
        project_id: str | None,
        variables: Variables,
        read: Callable[[Any], Result],
        *,
        items: int = 0,
        item_ids: Sequence[str] = (),
    ) -> Result:
        """Make one call and return what ``read`` makes of its root field.

        ``items`` is the number of items for the record; ``project_id`` and the asset ids ``item_ids`` are what errors
        may name. Raises :class:`~worker.kili.errors.KiliError`, and :class:`redis.RedisError` from the budget.
        """

        def judge(payload: Payload, answer: HttpAnswer) -> Result:
            question = Question(operation, self._access, item_ids, payload.gzipped)
            root = read_answer(question, answer)
            try:
                return read(root)
            except (KeyError, TypeError, ValueError, AttributeError) as problem:
                raise unreadable(question, answer, problem) from problem

        return self._post(operation, operation.text, project_id, variables, judge, items)

    def call_together(self, document: Document, project_id: str, *, items: int) -> dict[str, KiliError | None]:
        """Make one call of several mutations and return what became of each: None, or why it did not go through.

        Only what concerns the whole call is raised, and sent again before that.
        """

        def judge(payload: Payload, answer: HttpAnswer) -> dict[str, KiliError | None]:
            outcomes = document.read(self._access, answer, gzipped=payload.gzipped)
            for error in filter(None, outcomes.values()):
                error.project_id = project_id
            return outcomes

        def outcome(outcomes: dict[str, KiliError | None]) -> str:
            return next((type(error).__name__ for error in outcomes.values() if error is not None), "ok")

        return self._post(document.operation, document.text, project_id, document.variables, judge, items, outcome)

    def _post(
        self,
        operation: Operation,
        text: str,
        project_id: str | None,
        variables: Variables,
        judge: Callable[[Payload, HttpAnswer], Result],
        items: int,
        outcome: Callable[[Result], str] = lambda _: "ok",
    ) -> Result:
        body = _body({"query": text, "variables": variables})
        timeout = self._access.labels_timeout if operation.heavy else self._access.timeout
        return self._run(
            _Request(
                operation=operation.field,
                project_id=project_id,
                items=items,
                costs_a_call=True,
                pack=lambda: self._transport.pack(body),
                send=lambda payload: self._transport.post(payload, timeout),
                judge=judge,
                outcome=outcome,
            )
        )

    def upload(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        """Put content to a signed URL; this is no call to the API and takes nothing from the budget."""

        def judge(_: Payload, answer: HttpAnswer) -> None:
            error = upload_error(self._access, answer)
            if error is not None:
                raise error

        self._run(
            _Request(
                operation="upload",
                project_id=None,
                items=1,
                costs_a_call=False,
                pack=lambda: Payload(data, gzipped=False),
                send=lambda payload: self._transport.put(url, payload.content, headers),
                judge=judge,
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _run(self, request: _Request[Result]) -> Result:
        maybe_applied = False

        def attempt(number: int) -> Result:
            nonlocal maybe_applied
            try:
                return self._attempt(request, number)
            except KiliError as error:
                maybe_applied = error.maybe_applied = maybe_applied or error.maybe_applied
                error.project_id = request.project_id
                self._hold_back(request, error, number)
                raise

        return self._retry.run(attempt, stop=self._stop)

    def _attempt(self, request: _Request[Result], number: int) -> Result:
        try:
            return self._exchange(request, number)
        except CompressionRefused:
            self._transport.compressing = False
            return self._exchange(request, number)

    def _exchange(self, request: _Request[Result], number: int) -> Result:
        payload = request.pack()
        waited = self._take_from_budget(request)
        if self._check is not None:
            self._check()
        status, outcome, begun = None, "ok", clock.monotonic()
        try:
            answer = request.send(payload)
            status = answer.status
            result = request.judge(payload, answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, MemoryError) as error:
            found = network_error(self._access, request.operation, error)
            outcome = type(found).__name__
            raise found from error
        except KiliError as error:
            outcome = type(error).__name__
            raise
        else:
            outcome = request.outcome(result)
            return result
        finally:
            seconds = clock.monotonic() - begun
            sent = len(payload.content)
            about = (request.operation, request.items, seconds, status, outcome, number, sent, waited)
            self._record(CallRecord(*about, request.project_id))

    def _take_from_budget(self, request: _Request[Any]) -> float:
        if self._budget is None or not request.costs_a_call:
            return 0.0
        try:
            return self._budget.acquire(self._stop)
        except BudgetTimeout as error:
            raise NotSent(f"{request.operation}: {error}", operation=request.operation) from error

    def _hold_back(self, request: _Request[Any], error: KiliError, number: int) -> None:
        pause = self._retry.fleet_pause(error, number)
        if self._budget is not None and request.costs_a_call and pause > 0:
            self._budget.penalise(pause)

    def _record(self, record: CallRecord) -> None:
        if self._observe is not None:
            self._observe(record)


def _body(content: Variables) -> bytes:
    """A request as JSON: texts, whole numbers and flags, which msgspec writes in a third of the time."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # a lone surrogate
        return json_bytes(content)
