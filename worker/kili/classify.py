"""What a GraphQL error is about, in one table.

Kili shares one ``extensions.code`` among nearly all its domain errors; the bracketed word at the beginning of a
message and ``extensions.context.reason`` tell them apart.

The evidence of each row of :data:`GRAPHQL_RULES`: T seen on the real server, S read in the official SDK or in its
documentation, I inferred.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal


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
