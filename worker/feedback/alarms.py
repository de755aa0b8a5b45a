"""Alarms: what each says, which were acknowledged, and which have been notified.

Hashes below ``{prefix}feedback:{project}:`` by alarm id: ``alarms`` (what each said when it was raised, JSON), and,
with Unix seconds, ``acknowledged``, ``told`` (in the log) and ``posted`` (taken by the webhook). The id of an alarm is
``detector/model version/number``; ``numbers`` is the greatest number of what was forgotten: none is used twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import msgspec
import redis

from worker.feedback import breakdown
from worker.feedback.breakdown import SampledCase, Weighed
from worker.feedback.drift import DETECTORS, Alarm

ALARM_CASES = 20


def alarm_row(alarm: Alarm, whole: Weighed) -> dict[str, Any]:
    """An alarm with the agreement before and after its beginning, the classes that fell most, and its cases."""
    after = {True: "after", False: "before"}
    parts = whole.grouped(lambda case: [after[case.sample.at >= alarm.since]])
    sides = {name: breakdown.estimate_row(part.estimate()) for name, part in parts.items()}
    wrong = [case for case in whole.cases if case.sample.at >= alarm.since and (case.sample.error or 0.0) > 0]
    wrong.sort(key=lambda case: -case.sample.at)
    return {
        **asdict(alarm),
        **sides,
        "classes": _fallen(parts),
        "cases": [disagreement_row(c) for c in wrong[:ALARM_CASES]],
    }


def refreshed(row: Mapping[str, Any], whole: Weighed) -> dict[str, Any]:
    """An alarm as it was raised, with what is known today where there are predictions from before and after it."""
    alarm = Alarm(**{one.name: row[one.name] for one in fields(Alarm)})
    if len({case.sample.at >= alarm.since for case in whole.cases}) < len(("before", "after")):
        return dict(row)
    return alarm_row(alarm, whole)


def _fallen(parts: Mapping[str, Weighed]) -> list[dict[str, Any]]:
    """Classes by how much their agreement fell, weighted with how frequent they are afterwards."""
    if len(parts) < 2:
        return []
    sides = {
        name: part.grouped(lambda case: [f"{job}/{cls}" for job, names in case.answer.classes.items() for cls in names])
        for name, part in parts.items()
    }
    rows = []
    for name in sides["before"].keys() & sides["after"].keys():
        before, after = (sides[side][name].estimate() for side in ("before", "after"))
        if before.value is not None and after.value is not None:
            lost = (before.value - after.value) * after.population
            rows.append({"name": name, "before": before.value, "after": after.value, "lost": lost})
    return sorted(rows, key=lambda row: -row["lost"])[:5]


def disagreement_row(case: SampledCase) -> dict[str, Any]:
    """An answered prediction that humans did not confirm, as plain data."""
    return {
        "asset_id": case.record.asset_id,
        "external_id": case.record.external_id,
        "model": case.answer.model,
        "agreement": 1 - (case.sample.error or 0.0),
        "jobs": {job: value for verdict in case.standing for job, value in verdict.jobs.items()},
        "model_says": case.answer.classes,
        "human_says": {job: names for verdict in case.standing for job, names in verdict.classes.items()},
        "confidence": case.confidence,
        "p_error": case.sample.p_error,
        "reason": case.record.decision.reason if case.record.decision else "",
        "predicted_at": case.sample.at,
        "answered_at": case.sample.answered_at,
    }


_ID = re.compile(rf"({'|'.join(DETECTORS)})/(.+)/(\d+)", re.DOTALL)

TIMES = ("acknowledged", "told", "posted")


class AlarmName(NamedTuple):
    """The parts of an alarm's id."""

    detector: str
    model: str
    number: int

    @classmethod
    def of(cls, alarm_id: str) -> AlarmName | None:
        """None for what is no id."""
        match = _ID.fullmatch(alarm_id)
        return match and cls(match[1], match[2], int(match[3]))


@dataclass(frozen=True, slots=True)
class KnownAlarms:
    """Everything that is remembered of a project's alarms, by their ids.

    Attributes:
        alarms: what each said.
        acknowledged, told, posted: when, Unix seconds.
        forgotten: greatest number of an alarm that was forgotten.
    """

    alarms: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: Mapping[str, float] = field(default_factory=dict)
    logged: Mapping[str, float] = field(default_factory=dict)
    notified: Mapping[str, float] = field(default_factory=dict)
    forgotten: int = 0

    def acknowledgements(self, model: str) -> dict[str, dict[int, float]]:
        """Of a model version: per detector, when the alarm of a number was acknowledged."""
        found: dict[str, dict[int, float]] = {name: {} for name in DETECTORS}
        for name, at in _named(self.acknowledged):
            if name.model == model:
                found[name.detector][name.number] = at
        return found

    def last(self, model: str, detector: str) -> int:
        """The greatest number of an alarm of a model version that people were told of; 0 without one."""
        every = [*_named(self.logged), *_named(self.notified)]
        return max((one.number for one, _ in every if (one.model, one.detector) == (model, detector)), default=0)

    def rows(self, model: str) -> list[dict[str, Any]]:
        """The alarms of a model version, oldest first, with when they were acknowledged."""
        found = [one for one in self.alarms.values() if one["model"] == model]
        rows = [{**one, "acknowledged_at": self.acknowledged.get(one["id"])} for one in found]
        return sorted(rows, key=lambda row: (row["at"], row["id"]))


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

    def known(self) -> KnownAlarms:
        """Everything, as of one moment."""
        with self._redis.pipeline(transaction=True) as pipe:
            for name in ("alarms", *TIMES):
                pipe.hgetall(f"{self._base}{name}")
            pipe.get(f"{self._base}numbers")
            alarms, *times, forgotten = pipe.execute()
        rows = {alarm_id.decode(): json.loads(text) for alarm_id, text in alarms.items()}
        acknowledged, logged, notified = ({key.decode(): float(at) for key, at in one.items()} for one in times)
        return KnownAlarms(rows, acknowledged, logged, notified, int(forgotten or 0))

    def acknowledge(self, alarm_id: str, at: float) -> None:
        """Accept that things are as they are: the detector learns anew from what is predicted afterwards.

        The first acknowledgement counts.

        Raises:
            ValueError: no alarm has such an id.
        """
        if AlarmName.of(alarm_id) is None:
            raise ValueError(f"{alarm_id!r} is no alarm; the report names the alarms as detector/model/number")
        self._redis.hsetnx(f"{self._base}acknowledged", alarm_id, at)

    def note_logged(self, alarm_id: str, at: float) -> None:
        """People have been told of an alarm."""
        self._redis.hset(f"{self._base}told", alarm_id, at)

    def note_notified(self, alarm_id: str, at: float) -> None:
        """The webhook has taken an alarm."""
        self._redis.hset(f"{self._base}posted", alarm_id, at)

    def keep(self, pipe: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put alarms into a transaction."""
        for row in rows:
            pipe.hset(f"{self._base}alarms", row["id"], json.dumps(dict(row), ensure_ascii=False))

    def forget(self, pipe: Any, alarm_ids: Sequence[str], forgotten: int) -> None:
        """Put the end of alarms into a transaction; ``forgotten`` is the greatest number of any that ever was."""
        if not alarm_ids:
            return
        for name in ("alarms", *TIMES):
            pipe.hdel(f"{self._base}{name}", *alarm_ids)
        pipe.set(f"{self._base}numbers", forgotten)


class OpenAlarm(NamedTuple):
    """A stored alarm that nobody has accepted: its project, id and time, and its JSON, which is long."""

    project: str
    id: str
    at: float
    text: bytes

    def read(self) -> dict[str, Any]:
        """Everything that is stored of it."""
        row: dict[str, Any] = json.loads(self.text)
        return row


def open_alarms(client: redis.Redis, prefix: str, projects: Sequence[str]) -> list[OpenAlarm]:
    """The alarms of projects that nobody has accepted, newest first; of each no more is read than its time."""
    with client.pipeline(transaction=False) as pipe:
        for project in projects:
            pipe.hgetall(f"{prefix}feedback:{project}:alarms")
            pipe.hkeys(f"{prefix}feedback:{project}:acknowledged")
        replies = pipe.execute()
    found = []
    for project, alarms, accepted in zip(projects, replies[::2], replies[1::2], strict=True):
        for alarm_id in alarms.keys() - set(accepted):
            text = alarms[alarm_id]
            found.append(OpenAlarm(project, alarm_id.decode(), _dated(text).at, text))
    return sorted(found, key=lambda alarm: (-alarm.at, alarm.project, alarm.id))


class _Dated(msgspec.Struct):
    at: float


_dated = msgspec.json.Decoder(_Dated).decode


def _named(times: Mapping[str, float]) -> list[tuple[AlarmName, float]]:
    pairs = [(AlarmName.of(alarm_id), at) for alarm_id, at in times.items()]
    return [(name, at) for name, at in pairs if name is not None]
