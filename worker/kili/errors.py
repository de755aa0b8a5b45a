"""What can go wrong in a call to Kili, by what the caller should do about it.

    KiliError
    ├── TransientError          this attempt was certainly not applied: send again later
    │   ├── ConnectFailed       no connection (refused, DNS, TLS, proxy tunnel)
    │   ├── LocalFault          this process or its machine is at fault: sockets, memory, name service, certificates
    │   ├── NotSent             the call budget gave no call in time, or the worker is stopping
    │   ├── RateLimited         429
    │   ├── Unauthorized        401: passing on Kili, also with a valid key
    │   ├── AddressRefused      a bucket refuses a signed URL: a new URL may pass, the same one will not
    │   ├── Unavailable         refused before any resolver ran (521, 503 of a proxy that reached no backend, ...)
    │   │   └── CompressionRefused  a gzipped body was not understood; the client resends it plain by itself
    │   └── UnknownOperation    the server does not know our document: another API version, or a rolling deploy
    ├── UnknownOutcome          may have been applied: send again, safe because every write is idempotent
    │   ├── TimedOut            no answer in time (ours, or a gateway's 504 and 524): a lighter request may pass
    │   ├── WorkerFault         our own code failed while it made the call or read the answer
    │   └── ServerFault         the application itself answered with an internal error
    ├── RefusedItems            an item of the request is at fault: bisect, the culprit is a dead letter
    │   └── TooLarge            413: send fewer bytes at once
    ├── RefusedProject          no access to the project, or it is gone: pause the project
    └── RefusedKey              the API key is expired, revoked or not entitled: pause the endpoint

For a query :class:`UnknownOutcome` says only that there was no usable answer.

What a GraphQL error is about is in one table, :data:`GRAPHQL_RULES`. Kili shares one ``extensions.code`` among nearly
all its domain errors; the bracketed word at the beginning of a message and ``extensions.context.reason`` tell them
apart. The evidence of each row: T seen on the real server, S read in the official SDK or in its documentation, I
inferred.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

MAX_MESSAGE = 2000
"""Longest excerpt of a server's words that an error keeps, in characters."""


class KiliError(Exception):
    """A call to Kili failed.

    ``operation`` is the root field that was called, ``project_id`` the project it was for, ``status`` the HTTP status
    (None without an answer), ``server_message`` the server's own words (at most 2,000 characters, free of the API key),
    ``code`` the server's short name for the error (``jsonResponseMalformed``, ``AssetAlreadyLocked``,
    ``INTERNAL_SERVER_ERROR``), ``retry_after`` the seconds the server asked to wait. ``maybe_applied`` tells whether
    this attempt or an earlier one of the same call may have taken effect.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        status: int | None = None,
        server_message: str = "",
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.server_message = server_message[:MAX_MESSAGE]
        self.code = code
        self.retry_after = retry_after
        self.project_id: str | None = None
        self.maybe_applied = isinstance(self, UnknownOutcome)


class TransientError(KiliError):
    """This attempt was certainly not applied (``maybe_applied`` tells of the attempts before it)."""


class ConnectFailed(TransientError):
    """No connection could be made."""


class LocalFault(TransientError):
    """The call never left for want of something on our own side; it says nothing about Kili."""


class NotSent(TransientError):
    """The call never left: no call was free in the budget in time, or the worker is stopping."""


class RateLimited(TransientError):
    """The server counted too many calls (429)."""


class Unauthorized(TransientError):
    """The authentication layer answered 401, which Kili also does for valid keys now and then."""


class AddressRefused(TransientError):
    """A bucket does not take this signed URL: expired, gone, or not for this content."""


class Unavailable(TransientError):
    """Something in front of the application refused the call before it ran."""


class CompressionRefused(Unavailable):
    """A gzipped body was refused for its encoding."""


class UnknownOperation(TransientError):
    """The server does not know the document that was sent."""


class UnknownOutcome(KiliError):
    """The call may or may not have been applied."""


class TimedOut(UnknownOutcome):
    """No answer came in time."""


class WorkerFault(UnknownOutcome):
    """Our own code failed while it made a call or read its answer: an item that it was not written for may do that."""


class ServerFault(UnknownOutcome):
    """The application answered with an internal error of its own.

    ``may_be_items``: the error is so general that an item may be behind it. It usually passes; one that stays while
    other requests go through is worth bisecting.
    """

    may_be_items = False


class RefusedItems(KiliError):
    """The server refused the request because of something in it; the other items may or may not have been applied.

    ``item_indexes`` are positions in the sequence the caller passed, ``item_ids`` their asset ids, where the server
    named any: hints on whom to isolate first, not a conviction. ``already_exists``: the server says so of an asset;
    read back before judging. ``access``: the server speaks of missing rights or a missing object, which the project
    may also cause; ask for the project's interface before judging.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        status: int | None = None,
        server_message: str = "",
        code: str | None = None,
        item_indexes: tuple[int, ...] = (),
        item_ids: tuple[str, ...] = (),
        access: bool = False,
        already_exists: bool = False,
    ) -> None:
        super().__init__(message, operation=operation, status=status, server_message=server_message, code=code)
        self.item_indexes = item_indexes
        self.item_ids = item_ids
        self.access = access
        self.already_exists = already_exists


class TooLarge(RefusedItems):
    """The request body is larger than the server takes (413)."""


class RefusedProject(KiliError):
    """The key has no access to the project, or the project does not exist."""


class RefusedKey(KiliError):
    """The API key is not accepted: expired, revoked or without the right to call."""


class ErrorKind(IntEnum):
    """What a GraphQL error is about; of several errors in one answer the highest decides."""

    UNKNOWN = 0
    MURKY = 1
    FAULT = 2
    EXISTS = 3
    MISSING = 4
    ITEMS = 5
    ACCESS = 6
    DOCUMENT = 7
    AUTHENTICATION = 8
    RATE = 9
    KEY = 10


@dataclass(frozen=True, slots=True)
class GraphQLError:
    """One entry of ``errors``: its message and the three places where Kili names the error."""

    message: str
    key: str | None
    code: str | None
    reason: str | None
    path: tuple[Any, ...]
    text: str

    @property
    def name(self) -> str | None:
        """The most telling short name."""
        return self.reason or self.key or self.code


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row: an error whose ``part`` matches ``pattern`` is of ``kind``."""

    evidence: Literal["T", "S", "I"]
    part: Literal["message", "key", "code", "reason"]
    pattern: re.Pattern[str]
    kind: ErrorKind

    def matches(self, error: GraphQLError) -> bool:
        """Tell whether the row speaks of this error."""
        value = getattr(error, self.part)
        return value is not None and self.pattern.search(value) is not None


def _rule(
    evidence: Literal["T", "S", "I"],
    part: Literal["message", "key", "code", "reason"],
    pattern: str,
    kind: ErrorKind,
) -> ErrorRule:
    return ErrorRule(evidence, part, re.compile(pattern, re.IGNORECASE), kind)


_KEY_IS_DEAD = (
    r"api[ _-]?key\b.{0,40}\b(expired|revoked|disabled|invalid|not valid|does not exist)"
    r"|\b(expired|revoked|disabled|invalid) api[ _-]?key"
)
_LOCKED = r"^(AlreadyHaveLabel|Asset|BlockedBy|LabelNotEditable|NotAssigned|NotInStep)"
_GONE = r"(not found|does not exist|no longer exists|(was|been) deleted)\b"
_INFRASTRUCTURE = (
    r"\bECONN(RESET|REFUSED|ABORTED)\b|\bETIMEDOUT\b|socket hang up|can't reach database|connection pool"
    r"|too many (database )?connections|deadlock detected|could not serialize access|temporarily unavailable"
    r"|service unavailable|request timed out|query (read )?timeout|statement timeout"
)

GRAPHQL_RULES: tuple[ErrorRule, ...] = (
    _rule("I", "message", _KEY_IS_DEAD, ErrorKind.KEY),
    _rule("I", "code", r"^(RATE_LIMIT(ED|_EXCEEDED)|TOO_MANY_REQUESTS)$", ErrorKind.RATE),
    _rule("I", "message", r"^\W*(too many requests|rate limit)", ErrorKind.RATE),
    _rule("T", "key", r"^jsonResponseMalformed$", ErrorKind.ITEMS),
    _rule("S", "message", r"Invalid request made to Flagsmith API", ErrorKind.FAULT),
    _rule("S", "message", r"Failed to fetch data connection", ErrorKind.FAULT),
    _rule("S", "reason", _LOCKED, ErrorKind.ITEMS),
    _rule("S", "key", r"^noAccessRights$", ErrorKind.ACCESS),
    _rule("I", "code", r"^FORBIDDEN$", ErrorKind.ACCESS),
    _rule("I", "code", r"^UNAUTHENTICATED$", ErrorKind.AUTHENTICATION),
    _rule("I", "message", r"^\W*(unauthori[sz]ed|unauthenticated|not authenticated)\W*$", ErrorKind.AUTHENTICATION),
    _rule("T", "code", r"^GRAPHQL_(VALIDATION|PARSE)_FAILED$", ErrorKind.DOCUMENT),
    _rule("T", "message", r"^(Cannot query field|Unknown (argument|type|field)|Syntax Error)", ErrorKind.DOCUMENT),
    _rule("T", "message", r"^Variable ['\"]\$", ErrorKind.ITEMS),
    _rule("I", "code", r"^BAD_USER_INPUT$", ErrorKind.ITEMS),
    _rule("I", "message", r"already exists?\b|unique constraint|duplicate key|\bP2002\b", ErrorKind.EXISTS),
    _rule("I", "message", r"do(es)? not have (the )?(access|permission|rights?)|access denied", ErrorKind.ACCESS),
    _rule("I", "message", rf"\bproject\b.{{0,80}}\b{_GONE}|\bno (such )?project\b", ErrorKind.ACCESS),
    _rule("I", "message", rf"\b{_GONE}", ErrorKind.MISSING),
    _rule("I", "message", _INFRASTRUCTURE, ErrorKind.FAULT),
    _rule("T", "key", r"^unexpectedRetrieving$", ErrorKind.MURKY),
    _rule("I", "message", r"^\W*(unexpected|internal server) error\W*$", ErrorKind.MURKY),
    _rule("T", "code", r"^INTERNAL_SERVER_ERROR$", ErrorKind.MURKY),
)
"""The first row that matches an error decides its kind; an error that no row knows is laid to the items."""

_BRACKETED = re.compile(r"^\s*\[([A-Za-z][\w.-]*)\]")


def graphql_errors(document: dict[str, Any]) -> list[GraphQLError]:
    """Read the ``errors`` of an answer, whatever shape they have."""
    entries = document.get("errors") or []
    return [_graphql_error(entry) for entry in (entries if isinstance(entries, list) else [entries])]


def _graphql_error(entry: Any) -> GraphQLError:
    fields = entry if isinstance(entry, dict) else {"message": entry}
    message = str(fields.get("message", ""))
    extensions = fields.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    context = extensions.get("context")
    path = fields.get("path")
    bracketed = _BRACKETED.match(message)
    return GraphQLError(
        message=message,
        key=bracketed.group(1) if bracketed else None,
        code=_text_or_none(extensions.get("code")),
        reason=_text_or_none(context.get("reason")) if isinstance(context, dict) else None,
        path=tuple(path) if isinstance(path, list) else (),
        text=json.dumps([message, extensions], ensure_ascii=False),
    )


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def kind_of(error: GraphQLError) -> ErrorKind:
    """Return the kind of the first rule that knows the error."""
    return next((rule.kind for rule in GRAPHQL_RULES if rule.matches(error)), ErrorKind.UNKNOWN)
