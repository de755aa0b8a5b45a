"""Send a batch; when it is refused, find who is at fault and deliver the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from worker.kili.errors import RefusedItems

T = TypeVar("T")


@dataclass(slots=True)
class Sent(Generic[T]):
    """Outcome per item: who went through, and who was refused with what."""

    accepted: list[T] = field(default_factory=list)
    refused: list[tuple[T, RefusedItems]] = field(default_factory=list)


def send_each(items: Sequence[T], send: Callable[[Sequence[T]], None]) -> Sent[T]:
    """Send all items, in as few calls as the refusals allow; order is kept.

    A refusal that names items splits them off; any other splits in halves. An item refused alone is at fault.
    Errors that are not about items pass through, with nothing said of the rest: sending again is safe.
    """
    sent: Sent[T] = Sent()
    parts: list[Sequence[T]] = [items] if items else []
    while parts:
        part = parts.pop(0)
        try:
            send(part)
            sent.accepted += part
        except RefusedItems as refusal:
            if len(part) == 1:
                sent.refused.append((part[0], refusal))
            else:
                parts = _split(part, refusal) + parts
    return sent


def _split(part: Sequence[T], refusal: RefusedItems) -> list[Sequence[T]]:
    named = sorted({index for index in refusal.item_indexes if 0 <= index < len(part)})
    if named and len(named) < len(part):
        rest = [item for index, item in enumerate(part) if index not in set(named)]
        return [rest, *([part[index]] for index in named)]
    middle = len(part) // 2
    return [part[:middle], part[middle:]]
