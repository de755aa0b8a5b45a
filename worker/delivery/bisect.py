"""Send a batch; when it is refused, find who is at fault and deliver the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from worker.kili import RefusedItems, ServerFault

T = TypeVar("T")

MAX_FAULTS_IN_A_ROW = 10
"""Server faults with nothing accepted between them, after which the server itself is held to be at fault."""

Refusal = RefusedItems | ServerFault


@dataclass(slots=True)
class Sent(Generic[T]):
    """Outcome per item: who went through, and who was refused with what."""

    accepted: list[T] = field(default_factory=list)
    refused: list[tuple[T, Refusal]] = field(default_factory=list)


def send_each(items: Sequence[T], send: Callable[[Sequence[T]], None]) -> Sent[T]:
    """Send all items, in as few calls as the refusals allow; order is kept.

    A refusal that names items splits them off; any other splits in halves. An item refused alone is at fault. A fault
    of the server that an item may have caused is treated alike, but condemns an item only when others went
    through.

    Raises:
        ServerFault: nothing goes through.
        KiliError: any error that is not about items; nothing is said of the rest, sending again is safe.
    """
    sent: Sent[T] = Sent()
    parts: list[Sequence[T]] = [items] if items else []
    faults = 0
    while parts:
        part = parts.pop(0)
        try:
            send(part)
            sent.accepted += part
            faults = 0
        except (RefusedItems, ServerFault) as refusal:
            faults += isinstance(refusal, ServerFault)
            if isinstance(refusal, ServerFault) and (not refusal.may_be_items or faults > MAX_FAULTS_IN_A_ROW):
                raise
            if len(part) == 1:
                sent.refused.append((part[0], refusal))
            else:
                parts = _split(part, refusal) + parts
    _check(sent)
    return sent


def _check(sent: Sent[T]) -> None:
    faults = [refusal for _, refusal in sent.refused if isinstance(refusal, ServerFault)]
    if faults and not sent.accepted:
        raise faults[0]


def _split(part: Sequence[T], refusal: Refusal) -> list[Sequence[T]]:
    indexes = refusal.item_indexes if isinstance(refusal, RefusedItems) else ()
    named = sorted({index for index in indexes if 0 <= index < len(part)})
    if named and len(named) < len(part):
        rest = [item for index, item in enumerate(part) if index not in set(named)]
        return [rest, *([part[index]] for index in named)]
    middle = len(part) // 2
    return [part[:middle], part[middle:]]
