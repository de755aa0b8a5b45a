"""What an HTTP answer means: the data of a GraphQL call, or the right error of :mod:`worker.kili.errors`.

A GraphQL error is judged by what it says and not by the HTTP status it came with, except where the status shows that
no resolver ran.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic_core import from_json

from worker.kili.errors import (
    MAX_MESSAGE,
    AddressRefused,
    CompressionRefused,
    ConnectFailed,
    ErrorKind,
    GraphQLError,
    KiliError,
    LocalFault,
    RateLimited,
    RefusedItems,
    RefusedKey,
    RefusedProject,
    ServerFault,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    UnknownOutcome,
    graphql_errors,
    kind_of,
)
from worker.kili.operations import Blame, Operation
from worker.kili.retry import parse_retry_after
from worker.kili.transport import HttpAnswer, KiliAccess, is_local

NOT_APPLIED = frozenset({300, 301, 302, 303, 307, 308, 404, 405, 408, 415, 421, 425, 521})
"""Statuses given before the application saw the request; 521 is a proxy that the origin refused."""

GATEWAY = frozenset({502, 503, 504, 520, 522, 523, 524, 525, 526, 530})
"""Statuses a proxy gives for the application; an unknown error beside them is the proxy's."""

SHOWN_LENGTH = 300
"""Longest excerpt of the server's words in an error's message, in characters."""

_KEY_HAS_ENDED = re.compile(r"api[ _-]?key\b.{0,40}\b(expired|revoked)|(expired|revoked) api[ _-]?key", re.IGNORECASE)
_ENVOY_NOT_FORWARDED = re.compile(
    r"no healthy upstream|reset reason: (overflow|(remote )?connection failure)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: the operation, the access it went through, and the asset ids of its items in order."""

    operation: Operation
    access: KiliAccess
    item_ids: Sequence[str] = ()
    gzipped: bool = False


def read_answer(question: Question, answer: HttpAnswer) -> Any:
    """Return the value of the answer's root field, which is never null.

    Raises the :class:`~worker.kili.errors.KiliError` that the answer stands for.
    """
    document = json_document(answer.body)
    data = document.get("data")
    root = data.get("data") if isinstance(data, dict) else None
    return judge_root(question, answer, root, graphql_errors(document))


def judge_root(question: Question, answer: HttpAnswer, root: Any, errors: list[GraphQLError]) -> Any:
    """Return the value of a root field, which is never null; raises what ``errors``, status or its absence mean."""
    if errors:
        raise _judge_errors(question, answer, errors)
    if not 200 <= answer.status < 300:
        raise _judge_status(question, answer)
    if root is None:
        raise _error(UnknownOutcome, question, answer, f"no data in {_server_message(question.access, answer)[:200]!r}")
    return root


def unreadable(question: Question, answer: HttpAnswer, problem: Exception) -> KiliError:
    """Return the error for an answer whose data lacks what the operation asked for."""
    server_message = f"the answer cannot be read ({type(problem).__name__}: {problem})"
    return _error(UnknownOutcome, question, answer, question.access.scrub(server_message))


def network_error(access: KiliAccess, operation: str, error: Exception) -> KiliError:
    """Return the error that a failure below HTTP stands for: whose it is, and whether the request was sent."""
    server_message = access.scrub(f"{type(error).__name__}: {error}")
    kind: type[KiliError] = UnknownOutcome
    if is_local(error):
        kind = LocalFault
    elif isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        kind = ConnectFailed
    elif isinstance(error, httpx.TimeoutException):
        kind = TimedOut
    return kind(f"{operation}: {server_message}", operation=operation, server_message=server_message)


ADDRESS = frozenset({300, 301, 302, 303, 307, 308, 401, 403, 404, 405, 409, 410, 412})
"""A bucket's refusals that speak of where and with what right, not of what: they may be cured by a new signed URL."""

UPLOAD_PASSES = frozenset({408, 421, 425})
"""A bucket's refusals below 500 that pass by themselves, beside 429."""


def upload_error(access: KiliAccess, answer: HttpAnswer) -> KiliError | None:
    """Return the error that a bucket's answer to an upload stands for, None for a success.

    Three kinds: the URL is at fault (:class:`AddressRefused`), the bucket is (429, 5xx and what passes), or else the
    content is (:class:`RefusedItems`, :class:`TooLarge`).
    """
    if 200 <= answer.status < 300:
        return None
    kind: type[KiliError] = RefusedItems
    if answer.status in ADDRESS:
        kind = AddressRefused
    elif answer.status == 413:
        kind = TooLarge
    elif answer.status == 429:
        kind = RateLimited
    elif answer.status in UPLOAD_PASSES:
        kind = Unavailable
    elif answer.status >= 500 or answer.status < 300:
        kind = UnknownOutcome
    return _named_error(kind, "upload", answer, _server_message(access, answer))


def json_document(body: bytes) -> dict[str, Any]:
    """Parse an answer's body; ``{}`` where it is no JSON object."""
    try:
        document = _parsed(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:  # also what json can read: another encoding, half a surrogate, a deeper document
        return json.loads(body)


def _judge_errors(question: Question, answer: HttpAnswer, errors: list[GraphQLError]) -> KiliError:
    kinds = [kind_of(error) for error in errors]
    kind = max(kinds)
    code = errors[kinds.index(kind)].name
    if _status_outranks(answer.status, kind):
        return _judge_status(question, answer, code=code)
    server_message = question.access.scrub("; ".join(error.message for error in errors))
    found = _class_of(kind, question.operation)
    if found is RefusedItems:
        return _refused_items(question, answer, errors, server_message, code)
    parsed = _error(found, question, answer, server_message, code=code)
    if isinstance(parsed, ServerFault):
        parsed.may_be_items = kind is ErrorKind.MURKY and question.operation.holds_items
    return parsed


def _status_outranks(status: int, kind: ErrorKind) -> bool:
    if kind is ErrorKind.KEY:
        return False
    if status in (401, 413, 429):
        return True
    return kind is ErrorKind.UNKNOWN and (status == 403 or status in NOT_APPLIED or status in GATEWAY)


def _class_of(kind: ErrorKind, operation: Operation) -> type[KiliError]:
    if kind is ErrorKind.ACCESS or (kind is ErrorKind.MISSING and not operation.holds_items):
        return _REJECTIONS[operation.blames]
    if kind in _NOT_THE_ITEMS:
        return _NOT_THE_ITEMS[kind]
    return RefusedItems if operation.holds_items else ServerFault


_REJECTIONS: dict[Blame, type[KiliError]] = {
    Blame.ITEMS: RefusedItems,
    Blame.PROJECT: RefusedProject,
    Blame.KEY: RefusedKey,
}
_NOT_THE_ITEMS: dict[ErrorKind, type[KiliError]] = {
    ErrorKind.MURKY: ServerFault,
    ErrorKind.FAULT: ServerFault,
    ErrorKind.DOCUMENT: UnknownOperation,
    ErrorKind.AUTHENTICATION: Unauthorized,
    ErrorKind.RATE: RateLimited,
    ErrorKind.KEY: RefusedKey,
}


def _refused_items(
    question: Question, answer: HttpAnswer, errors: list[GraphQLError], server_message: str, code: str | None
) -> RefusedItems:
    kinds = {kind_of(error) for error in errors}
    indexes = sorted({index for error in errors for index in _named_items(question.item_ids, error)})
    return RefusedItems(
        _message(question.operation.field, answer, server_message),
        operation=question.operation.field,
        status=answer.status,
        server_message=server_message,
        code=code,
        item_indexes=tuple(indexes),
        item_ids=tuple(question.item_ids[index] for index in indexes),
        access=not kinds.isdisjoint({ErrorKind.ACCESS, ErrorKind.MISSING}),
        already_exists=ErrorKind.EXISTS in kinds,
    )


def _named_items(item_ids: Sequence[str], error: GraphQLError) -> Iterable[int]:
    """Yield the positions of the items that an error names in its path or by their asset ids."""
    if len(error.path) > 1 and isinstance(error.path[1], int) and 0 <= error.path[1] < len(item_ids):
        yield error.path[1]
    yield from (index for index, item_id in enumerate(item_ids) if item_id in error.text)


def _judge_status(question: Question, answer: HttpAnswer, *, code: str | None = None) -> KiliError:
    server_message = _server_message(question.access, answer)
    kind = _class_of_status(answer.status, server_message)
    if question.gzipped and answer.status in (400, 415):
        kind = CompressionRefused
    return _error(kind, question, answer, server_message, code=code)


_CLASSES_OF_STATUS: dict[int, type[KiliError]] = {
    401: Unauthorized,
    403: RefusedKey,
    413: TooLarge,
    429: RateLimited,
    504: TimedOut,
    524: TimedOut,
}


def _class_of_status(status: int, server_message: str) -> type[KiliError]:
    if status == 401 and _KEY_HAS_ENDED.search(server_message):
        return RefusedKey
    if status in _CLASSES_OF_STATUS:
        return _CLASSES_OF_STATUS[status]
    if status in NOT_APPLIED or (status == 503 and _envoy_reached_no_backend(server_message)):
        return Unavailable
    return UnknownOutcome


def _envoy_reached_no_backend(server_message: str) -> bool:
    """Tell Envoy's two kinds of 503 apart; after "retried" an earlier try of its own may have reached a backend."""
    return _ENVOY_NOT_FORWARDED.search(server_message) is not None and "retried" not in server_message.lower()


def _error(
    kind: type[KiliError], question: Question, answer: HttpAnswer, server_message: str, *, code: str | None = None
) -> KiliError:
    return _named_error(kind, question.operation.field, answer, server_message, code=code)


def _named_error(
    kind: type[KiliError], operation: str, answer: HttpAnswer, server_message: str, *, code: str | None = None
) -> KiliError:
    error = kind(
        _message(operation, answer, server_message),
        operation=operation,
        status=answer.status,
        server_message=server_message,
        code=code,
    )
    error.retry_after = parse_retry_after(answer.headers.get("retry-after"), answer.headers.get("date"))
    return error


def _message(operation: str, answer: HttpAnswer, server_message: str) -> str:
    shown = server_message if len(server_message) <= SHOWN_LENGTH else server_message[:SHOWN_LENGTH] + "..."
    return f"{operation}: HTTP {answer.status}: {shown or 'empty answer'}"


def _server_message(access: KiliAccess, answer: HttpAnswer) -> str:
    text = answer.body[:65_536].decode("utf-8", "replace")
    return access.scrub(" ".join(text.split()))[:MAX_MESSAGE]
