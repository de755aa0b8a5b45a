"""Kili's domain errors: a bracketed key, an explanation, and one code for all of them."""

from __future__ import annotations

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
