"""What goes wrong: Kili's domain errors, and the kinds of faults with their options.

A domain error has a bracketed key, an explanation, and one code for all of them. `worker.sandbox.faults` describes how
faults are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, TypeGuard

from graphql import GraphQLError

DOMAIN_CODE = "OPERATION_RESOLUTION_FAILURE"


class KiliError(GraphQLError):
    """An operation was understood and refused; `key` is the only thing that tells refusals apart."""

    def __init__(self, key: str, text: str, *, code: str = DOMAIN_CODE, reason: str | None = None) -> None:
        """Compose the message as Kili does; `reason` goes to extensions.context."""
        extensions: dict[str, object] = {"code": code}
        if reason is not None:
            extensions["context"] = {"reason": reason}
        super().__init__(f"[{key}] {text} | trace : false", extensions=extensions)


def no_access(what: str) -> KiliError:
    """Say that something does not exist or is not ours: Kili does not tell which."""
    return KiliError(
        "noAccessRights",
        "It seems you do not have access to this object."
        f" -- This can be due to: the {what} does not exist or you are not allowed to see it",
    )


def malformed(why: str) -> KiliError:
    """Say that a json_response does not fit the project's interface."""
    return KiliError(
        "jsonResponseMalformed",
        f"The jsonResponse does not fit the jsonInterface of the project. -- This can be due to: {why}",
    )


def bad_input(why: str) -> KiliError:
    """Say that the arguments contradict each other."""
    return KiliError("wrongArguments", f"The arguments cannot be used. -- This can be due to: {why}")


UNEXPECTED = "[unexpectedRetrieving] Unexpected error when retrieving runtime information. | trace : false"


class FaultError(ValueError):
    """A rule cannot be read; the message names it and its key."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with a status and a body without GraphQL keys."""

    status: int = 503
    body: str = "Service Unavailable"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False


@dataclass(frozen=True, slots=True)
class Errors:
    """Answer with GraphQL errors and no data."""

    status: int = 200
    message: str = UNEXPECTED
    code: str = DOMAIN_CODE
    reason: str | None = None
    errors: tuple[Mapping[str, Any], ...] | None = None
    after: bool = False

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON."""
        if self.errors is not None:
            return {"errors": list(self.errors), "data": None}
        extensions: dict[str, Any] = {"code": self.code}
        if self.reason is not None:
            extensions["context"] = {"reason": self.reason}
        return {"errors": [{"message": self.message, "extensions": extensions}], "data": None}


@dataclass(frozen=True, slots=True)
class Html:
    """Answer with a page that some proxy might send."""

    status: int = 502
    after: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Abort the connection instead of running the operation."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Run the operation, then abort the connection."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Run the operation, then close the connection in the middle of the answer."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """Run the operation, then answer with half a JSON text."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Run the operation, then answer with its data and an error."""

    message: str = UNEXPECTED


@dataclass(frozen=True, slots=True)
class Padded:
    """Run the operation, then answer with its JSON blown up by blanks to so many bytes."""

    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Answer 413 to bodies above so many bytes."""

    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before the operation runs, or before its answer goes out."""

    seconds: float = 1.0
    after: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse single items, by who they are or what they say."""

    external_ids: frozenset[str] = frozenset()
    asset_ids: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    names_item: bool = False
    key: str = "unexpectedRetrieving"
    message: str | None = None

    def check(self, asset_id: str | None, external_id: str | None, json_response: str | None) -> None:
        """Raise KiliError for an item that is to be refused."""
        named = [category for category in self.categories if f'"{category}"' in (json_response or "")]
        if asset_id in self.asset_ids or external_id in self.external_ids or named:
            item = f" (asset {asset_id}, external id {external_id})" if self.names_item else ""
            raise KiliError(self.key, (self.message or "The item was refused.") + item)


@dataclass(frozen=True, slots=True)
class FailImport:
    """Let an import in the background fail: for some external ids, or for all when none is named."""

    external_ids: frozenset[str] = frozenset()
    message: str = "not imported: the file cannot be read"

    def hits(self, external_id: str) -> bool:
        """Tell whether an asset is not to be imported."""
        return not self.external_ids or external_id in self.external_ids


Action = (
    Status | Errors | Html | Reset | Lost | Cut | Truncated | Partial | Padded | TooLarge | Delay | Refuse | FailImport
)

KINDS: dict[str, type[Action]] = {
    "status": Status,
    "errors": Errors,
    "html": Html,
    "reset": Reset,
    "lost": Lost,
    "cut": Cut,
    "truncated": Truncated,
    "partial": Partial,
    "padded": Padded,
    "too_large": TooLarge,
    "delay": Delay,
    "refuse": Refuse,
    "fail_import": FailImport,
}

#: Options that are kept in another form than JSON has.
FORMS: dict[str, Callable[[Any], Any]] = {
    "external_ids": frozenset,
    "asset_ids": frozenset,
    "categories": frozenset,
    "errors": tuple,
    "headers": lambda headers: {key: str(value) for key, value in headers.items()},
}


#: Types of the options that are kept as they come.
TYPES: dict[str, type | UnionType] = {
    "status": int,
    "after": bool,
    "names_item": bool,
    "body": str,
    "message": str | None,
    "code": str,
    "key": str,
    "reason": str | None,
    "bytes": int,
    "seconds": int | float,
}


def read_action(where: str, source: Any) -> Action:
    """Read an action; raises FaultError."""
    kind = source.get("kind") if isinstance(source, Mapping) else None
    if kind not in KINDS:
        raise FaultError(f"{where}.action.kind: {kind!r} is none of {', '.join(KINDS)}")
    allowed = frozenset(option.name for option in fields(KINDS[kind]))
    check_keys(f"{where}.action", source, allowed | {"kind"})
    for key, value in source.items():
        if key in TYPES and not (isinstance(value, TYPES[key]) and isinstance(value, bool) == (TYPES[key] is bool)):
            raise FaultError(f"{where}.action.{key}: {value!r} has the wrong type")
    try:
        options = {key: FORMS.get(key, _same)(value) for key, value in source.items() if key != "kind"}
    except (TypeError, AttributeError) as error:
        raise FaultError(f"{where}.action: {error}") from error
    return KINDS[kind](**options)


def check_keys(where: str, source: Any, allowed: frozenset[str]) -> TypeGuard[Mapping[str, Any]]:
    """Raise FaultError unless `source` is an object with no keys but these."""
    if not isinstance(source, Mapping):
        raise FaultError(f"{where}: must be an object")
    unknown = sorted(set(source) - allowed)
    if unknown:
        raise FaultError(f"{where}.{unknown[0]}: no such key; there are {', '.join(sorted(allowed))}")
    return True


def _same(value: Any) -> Any:
    return value
