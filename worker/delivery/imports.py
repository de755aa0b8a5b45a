"""Imports in the background: what was sent to Kili, and what its notifications say of it.

A record per asset is written before the import is sent, and again with the notification's id. So whoever takes the
prediction next looks for the asset and asks for the notification, and sends again only what cannot have arrived: when
no notification was noted, the worker died in between, and the asset does not show up for a while. Asset ids are
derived, so an import that was sent twice makes no second asset.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import redis

from worker.delivery.clients import DeliveryClients
from worker.delivery.failures import Action, Failure, FailureDecision, Stage, Trouble
from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.kili import KiliError, Notification
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)

FIRST_DELAY = 1.0
TriedFor = Callable[[str, str], float]
KEPT_SECONDS = 86_400

ASKED = 10
"""So many notifications are asked for in a wave, so that others need not wait; an asset that is there needs none."""


@dataclass(frozen=True, slots=True)
class Import:
    """The import of one asset; times in seconds since the epoch.

    ``since`` is when it was first sent, ``sent`` when last, ``together`` with how many in one call. ``notification`` is
    empty until Kili has answered; ``outcome`` until the notification was seen, at ``ended``, to say how it ended.
    ``alone`` tells that it failed with others and is to be sent without them.
    """

    since: float
    sent: float
    together: int
    notification: str = ""
    outcome: str = ""
    message: str = ""
    ended: float = 0.0
    alone: bool = False


class Imports:
    """The imports of the fleet.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        callers: the clients.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        clients: DeliveryClients,
        *,
        clock: Callable[[], float] = clock.now,
    ) -> None:
        self._redis = client
        self._key = f"{prefix}import:"
        self._clients = clients
        self._clock = clock

    def begin(self, asset_ids: Sequence[str]) -> None:
        """Remember that assets are about to be sent in one call."""
        now, known = self._clock(), self._known(asset_ids)
        for asset_id in asset_ids:
            before = known.get(asset_id)
            since = before.since if before else now
            self._write(asset_id, Import(since, now, len(asset_ids)))

    def sent(self, asset_ids: Sequence[str], notification: str) -> None:
        """Kili took them, and will tell by this notification."""
        for asset_id, one in self._known(asset_ids).items():
            self._write(asset_id, replace(one, notification=notification))

    def forget(self, asset_ids: Iterable[str]) -> None:
        """They were not sent, or are done with."""
        keys = [self._key + asset_id for asset_id in asset_ids]
        if keys:
            self._redis.delete(*keys)

    def suspects(self, asset_ids: Sequence[str]) -> set[str]:
        """Those that failed together with others: each is to be sent alone."""
        return {asset_id for asset_id, one in self._known(asset_ids).items() if one.alone}

    def look(self, project: str, asset_ids: Sequence[str], tried_for: TriedFor) -> dict[str, FailureDecision | Cause]:
        """What is to be done with assets that Kili does not show: look again, or dead-letter; absent ones: send.

        ``tried_for`` says how long an asset was looked for in vain, by what was in the way.
        """
        known = self._known(asset_ids)
        open_ = sorted({one.notification for one in known.values() if one.notification and not one.outcome})
        asked = random.sample(open_, min(ASKED, len(open_)))
        news = {notification: self._query(project, notification) for notification in asked}
        found: dict[str, FailureDecision | Cause] = {}
        for asset_id, one in known.items():
            notification = news.get(one.notification)
            step = self._step(asset_id, self._ended(asset_id, one, notification) if notification else one, tried_for)
            if step is not None:
                found[asset_id] = step
        self.forget(asset_id for asset_id, step in found.items() if isinstance(step, Cause))
        return found

    def _step(self, asset_id: str, one: Import, tried_for: TriedFor) -> FailureDecision | Cause | None:
        if one.alone:
            return None
        failure = self._failure(one)
        seconds = tried_for(asset_id, self._clients.failures.rule_of(failure).cause)
        decision = self._clients.failures.decide(replace(failure, tried_for=seconds))
        match decision.action:
            case Action.RETRY:
                return decision
            case Action.DEAD_LETTER:
                return _cause(one, seconds)
            case Action.SPLIT:
                self._write(asset_id, replace(one, alone=True))
        return None

    def _failure(self, one: Import) -> Failure:
        now = self._clock()
        what = Trouble.IMPORTING
        if one.outcome:
            what = Trouble.IMPORTED if one.outcome == "SUCCESS" else Trouble.IMPORT_FAILED
        elif not one.notification:
            what = Trouble.UNCONFIRMED
        since_step = now - (one.ended if one.outcome else one.sent)
        return Failure(Stage.IMPORT, what, items=one.together, since_step=since_step)

    def _ended(self, asset_id: str, one: Import, notification: Notification) -> Import:
        if notification.is_pending:
            return one
        one = replace(one, outcome=notification.status, message=notification.message, ended=self._clock())
        self._write(asset_id, one)
        return one

    def _query(self, project: str, notification: str) -> Notification | None:
        """An answer that does not come is no news: what counts in the end is the asset, and the limit."""
        try:
            return self._clients.single_attempt.notification(project, notification)
        except KiliError as error:
            extra = {"action": "import_not_asked", "project": project}
            logger.warning("an import's notification cannot be read: %s", error, extra=extra)
            return None

    def _known(self, asset_ids: Sequence[str]) -> dict[str, Import]:
        if not asset_ids:
            return {}
        stored: Any = self._redis.mget([self._key + asset_id for asset_id in asset_ids])
        pairs = zip(asset_ids, stored, strict=True)
        return {asset_id: of_stored(Import, text) for asset_id, text in pairs if text is not None}

    def _write(self, asset_id: str, one: Import) -> None:
        kept = int(self._clients.failures.graces.imports) + KEPT_SECONDS
        insist(self._redis, "SET", self._key + asset_id, json.dumps(asdict(one)), "EX", kept)


def _cause(one: Import, seconds: float) -> Cause:
    """Why the prediction of an import dies."""
    if not one.outcome:
        return _timed_out(seconds)
    return _lost() if one.outcome == "SUCCESS" else _failed(one.message)


def _failed(message: str) -> Cause:
    problem = f"could not be imported by Kili: {message or 'its notification gives no reason'}"
    return Cause("import_failed", "refused", "asset", problem, "send content that Kili can read", message)


def _timed_out(seconds: float) -> Cause:
    problem = f"is not imported by Kili for {seconds:.0f} s now"
    fix = "look at Kili's notifications; raise WORKER_DELIVERY__IMPORT_SECONDS, or replay when the asset is there"
    return Cause("import_timed_out", "refused", "asset", problem, fix)


def _lost() -> Cause:
    problem = "was imported, as Kili says, but the project does not show it"
    return Cause("import_lost", "refused", "asset", problem, "replay it; the import begins anew if it is not there")
