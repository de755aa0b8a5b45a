"""Send a batch; when it is refused, find who is at fault and deliver the others."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import Action, Failure, Others, Stage
from worker.kili import KiliClient, KiliError, NotSent, RefusedItems, TimedOut

T = TypeVar("T")

WITNESSES = 2
"""Items sent alone to see whether the server takes anything at all; one after a timeout, since it may cost another."""

Send = Callable[[Sequence[T], KiliClient], None]
Sift = Callable[[Sequence[T], KiliError], Mapping[int, Exception | None] | None]
Fits = Callable[[Sequence[T]], bool]


@dataclass(frozen=True, slots=True)
class DeliveryClients:
    """The clients of a wave.

    ``retrying`` repeats what may pass, ``single_attempt`` does not. A ``probing`` wave begins every step with
    ``single_attempt``: a server that is still down gets no more requests than it takes to know. ``stop`` is set when
    the worker drains.
    ``failures`` decides what becomes of what failed.
    """

    retrying: KiliClient
    single_attempt: KiliClient
    stop: threading.Event
    probing: bool = False
    failures: FailurePolicy = field(default_factory=FailurePolicy)

    @property
    def first(self) -> KiliClient:
        """The client that begins a step."""
        return self.single_attempt if self.probing else self.retrying


@dataclass(slots=True)
class Sent(Generic[T]):
    """Outcome per item: who went through, and who was refused with what.

    ``failure`` ended the sending before every item was judged (a worker that stops is one, too). Items in neither list
    may or may not have been applied.
    """

    accepted: list[T] = field(default_factory=list)
    refused: list[tuple[T, Exception]] = field(default_factory=list)
    failure: KiliError | None = None

    def check(self) -> None:
        """Raise the failure, if there is one."""
        if self.failure is not None:
            raise self.failure


def send_each(
    items: Sequence[T],
    send: Send[T],
    clients: DeliveryClients,
    *,
    sift: Sift[T] | None = None,
    fits: Fits[T] | None = None,
) -> Sent[T]:
    """Send all items, in as few calls as the refusals allow.

    A refusal that names items splits them off; any other splits in halves. An item refused alone is at fault. A fault
    of the server that an item may have caused is treated alike, but only while the server shows that it takes other
    items, and only after several rounds of attempts: a server that fails every other call would condemn one in
    sixteen otherwise. Else the server is at fault, and ``failure`` says so. The failure policy decides which error is
    which.

    Args:
        items: what is sent.
        send: sends some of them with the client it is given; raises KiliError.
        clients: to send with.
        sift: asked before a refused part is split. It tells, by position, who went through after all (None) and who
            is at fault; the rest is sent again as one. None when it cannot tell.
        fits: whether a part may be sent as it is; else it is split without asking the server.
    """
    return _Bisection(items, send, clients, sift or _unsifted, fits or _always).run()


def _unsifted(_: object, __: object) -> None:
    return None


def _always(_: object) -> bool:
    return True


class _Bisection(Generic[T]):
    """The state of one ``send_each``: parts still to be sent, as positions of items, and the verdicts so far."""

    def __init__(
        self, items: Sequence[T], send: Send[T], clients: DeliveryClients, sift: Sift[T], fits: Fits[T]
    ) -> None:
        self._items = items
        self._send = send
        self._clients = clients
        self._sift = sift
        self._fits = fits
        self._parts: deque[list[int]] = deque([list(range(len(items)))])
        self._verdicts: dict[int, Exception | None] = {}
        self._series: Counter[int] = Counter()
        self._accused: Counter[int] = Counter()
        self._answered = False
        self._faulted = False

    def run(self) -> Sent[T]:
        """Send part by part until all is judged."""
        sent: Sent[T] = Sent()
        try:
            self._send_parts()
        except KiliError as error:
            sent.failure = error
        if len(self._verdicts) == len(self._items) and not any(self._verdicts.values()):
            sent.accepted = list(self._items)
            return sent
        for index, problem in sorted(self._verdicts.items(), key=lambda pair: pair[0]):
            if problem is None:
                sent.accepted.append(self._items[index])
            else:
                sent.refused.append((self._items[index], problem))
        return sent

    def _send_parts(self) -> None:
        while self._parts:
            part = self._parts.popleft()
            self._try([index for index in part if index not in self._verdicts] if self._verdicts else part)
            if self._parts and self._clients.stop.is_set():
                raise NotSent("the worker stops")

    def _try(self, part: list[int]) -> None:
        if len(part) > 1 and not self._fits(self._of(part)):
            self._split(part)
            return
        try:
            self._call(part, self._client(part))
        except KiliError as error:
            self._take_apart(part, error)

    def _client(self, part: list[int]) -> KiliClient:
        """Nobody is condemned for what a few repeats would have cured; larger parts are only split for it."""
        if not self._answered:
            return self._clients.first
        return self._clients.single_attempt if self._faulted and len(part) > 1 else self._clients.retrying

    def _call(self, part: list[int], client: KiliClient) -> None:
        if part:
            self._send(self._of(part), client)
            self._answered = True
            self._verdicts |= dict.fromkeys(part)

    def _take_apart(self, part: list[int], error: KiliError) -> None:
        action = self._action(part, error)
        if action is Action.END_WAVE:
            raise error
        is_unclear = action is Action.TRY_OTHERS
        self._faulted = self._faulted or is_unclear
        self._answered = self._answered or not is_unclear
        sifted = self._sift(self._of(part), error)
        if sifted is not None:
            self._verdicts |= {part[position]: problem for position, problem in sifted.items()}
            self._parts.appendleft(part)
            return
        if is_unclear:
            others = self._others(part, error)
            self._count(part, others)
            action = self._action(part, error, others)
        if action is Action.END_WAVE:
            raise error
        if action is Action.DEAD_LETTER:
            self._verdicts[part[0]] = error
        elif action is Action.AFTER_OTHERS:
            self._parts.append(part)
        else:
            self._split(part, getattr(error, "item_indexes", ()))

    def _action(self, part: list[int], error: KiliError, others: Others = Others.UNKNOWN) -> Action:
        failure = Failure(
            Stage.REQUEST,
            error,
            items=len(part),
            attempts=self._series[part[0]],
            accused=self._accused[part[0]],
            others=others,
        )
        return self._clients.failures.decide(failure).action

    def _count(self, part: list[int], others: Others) -> None:
        if len(part) == 1:
            self._series[part[0]] += 1
            self._accused[part[0]] += others is Others.TAKEN

    def _split(self, part: list[int], named: Sequence[int] = ()) -> None:
        alone = sorted({position for position in named if 0 <= position < len(part)})
        if alone and len(alone) < len(part):
            rest = [index for position, index in enumerate(part) if position not in alone]
            parts = [rest, *([part[position]] for position in alone)]
        else:
            middle = len(part) // 2
            parts = [part[:middle], part[middle:]]
        self._parts.extendleft(reversed(parts))

    def _others(self, part: list[int], fault: KiliError) -> Others:
        """Send a few other items alone: what is taken, or refused for its own sake, clears the server.

        For a part that can be split, one of them is enough.
        """
        taken: set[bool] = set()
        for index in self._witnesses(part, 1 if isinstance(fault, TimedOut) else WITNESSES):
            taken.add(self._is_taken(index))
            if len(part) > 1 and True in taken:
                break
        if taken == {True, False}:
            return Others.SOME_TAKEN
        return Others.TAKEN if True in taken else Others.REFUSED

    def _is_taken(self, index: int) -> bool:
        try:
            self._call([index], self._clients.single_attempt)
        except RefusedItems:
            self._answered = True
        except KiliError:
            return False
        return True

    def _witnesses(self, part: list[int], most: int) -> list[int]:
        """Of one left alone those that were taken before, since others that wait may be as it is."""
        accepted = [index for index, problem in self._verdicts.items() if problem is None]
        if len(part) == 1 and accepted:
            return random.sample(accepted, min(most, len(accepted)))
        waiting = [index for other in self._parts for index in other if index not in self._verdicts]
        waiting += part if len(part) > 1 else []
        return [*random.sample(waiting, min(most, len(waiting))), *accepted[:1]]

    def _of(self, part: list[int]) -> Sequence[T]:
        return self._items if len(part) == len(self._items) else [self._items[index] for index in part]
