"""What is remembered of alarms: which were acknowledged, and which have been told to people.

Hashes below ``{prefix}feedback:{project}:`` from alarm id to Unix seconds: ``acknowledged``, ``told`` (in the log) and
``posted`` (taken by the webhook). The id of an alarm is ``detector/model version/number``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from worker.feedback.drift import DETECTORS

_ID = re.compile(rf"({'|'.join(DETECTORS)})/(.+)/(\d+)", re.DOTALL)

Acknowledged = dict[str, dict[str, Sequence[float]]]
"""Per model version and detector, when its alarms were acknowledged, in order."""


class AlarmBook:
    """The alarms of one project.

    Args:
        client: of the spool's Redis.
        prefix: of every key of the worker.
        project: id.
    """

    def __init__(self, client: redis.Redis, prefix: str, project: str) -> None:
        self._redis = client
        self._base = f"{prefix}feedback:{project}:"

    def acknowledge(self, alarm_id: str, at: float) -> None:
        """Accept that things are as they are: the detector learns anew from what is predicted afterwards.

        Raises:
            ValueError: no alarm has such an id.
        """
        if _ID.fullmatch(alarm_id) is None:
            raise ValueError(f"{alarm_id!r} is no alarm; the report names the alarms as detector/model/number")
        self._redis.hset(f"{self._base}acknowledged", alarm_id, at)

    def acknowledged(self) -> Acknowledged:
        """Everything that was acknowledged."""
        found: Any = self._redis.hgetall(f"{self._base}acknowledged")
        numbered: dict[tuple[str, str], dict[int, float]] = {}
        for alarm_id, at in found.items():
            match = _ID.fullmatch(alarm_id.decode())
            if match is not None:
                detector, model, number = match.groups()
                numbered.setdefault((model, detector), {})[int(number)] = float(at)
        answer: Acknowledged = {}
        for (model, detector), times in numbered.items():
            answer.setdefault(model, {})[detector] = [times[number] for number in sorted(times)]
        return answer

    def untold(self, alarm_ids: Iterable[str], at: float) -> list[str]:
        """Those of the alarms that nobody was told of, which from now on counts as done."""
        return [one for one in alarm_ids if self._redis.hsetnx(f"{self._base}told", one, at)]

    def unposted(self, alarm_ids: Iterable[str]) -> list[str]:
        """Those of the alarms that the webhook has not taken yet."""
        return [one for one in alarm_ids if not self._redis.hexists(f"{self._base}posted", one)]

    def note_posted(self, alarm_id: str, at: float) -> None:
        """The webhook has taken an alarm."""
        self._redis.hset(f"{self._base}posted", alarm_id, at)
