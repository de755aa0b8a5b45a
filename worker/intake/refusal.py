"""How a message that cannot be admitted becomes a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from worker.deadletters import Cause, Sender, write_letter
from worker.formats import OutputError
from worker.messages import MessageError
from worker.spool import Dead

NO_PROJECT = "-"

History = Sequence[dict[str, Any]]


def refusal(
    error: MessageError | OutputError,
    original: bytes,
    value: Any = None,
    history: History = (),
    *,
    default_project: str | None = None,
    form: Literal["message", "envelope"] = "message",
) -> Dead:
    """The dead letter of a message.

    Args:
        error: why it cannot be admitted.
        original: what arrived, of the kind ``form``.
        value: the same as parsed JSON, as far as that went; tells whose message it is.
        history: of earlier letters.
        default_project: of messages that name none.
    """
    cause = Cause(getattr(error, "cause", "unreadable_output"), "message", error.field, error.problem, error.fix)
    sender = _sender(value, default_project)
    letter = write_letter(cause, sender, stage="intake", history=history, form=form)
    return Dead(sender.project_id or NO_PROJECT, cause.slug, letter, original)


def _sender(value: Any, default_project: str | None) -> Sender:
    found: Mapping[str, Any] = value if isinstance(value, dict) else {}
    model = found.get("model")
    named = isinstance(model, dict) and isinstance(model.get("name"), str) and isinstance(model.get("version"), str)
    return Sender(
        project_id=_text(found.get("project_id")) or default_project,
        external_id=_text(found.get("external_id")),
        model=f"{model['name']}:{model['version']}"[:400] if named and model else None,
        message_id=_text(found.get("message_id")),
    )


def _text(value: Any) -> str | None:
    return value[:1024] if isinstance(value, str) and value else None
