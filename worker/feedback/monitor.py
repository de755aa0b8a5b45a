"""The drift detectors of a project from look to look: what they know is stored with what they have looked at.

One hash, ``{prefix}feedback:{project}:watches``, has the state of each model version's detectors
(:meth:`worker.feedback.drift.DriftWatch.state`), which names the last prediction that each has looked at. The states
and the alarms of a look are stored in one transaction, and only if nobody has stored others meanwhile: so each window
is looked at once, whoever looks, and an alarm that was raised is there to be told, whoever tells it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import redis
from redis.exceptions import WatchError

from worker.feedback.alarms import AlarmBook, AlarmName, KnownAlarms, alarm_row
from worker.feedback.breakdown import SampledCase, Weighed, cases_by_model
from worker.feedback.drift import DETECTORS, FIRST, Alarm, DetectorProgress, DriftWatch, Place
from worker.feedback.records import AssetRecord
from worker.statistics.samples import weigh
from worker.statistics.windows import Patience

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class MonitorRules:
    """What bounds a look; ``run_length`` is that of each single detector.

    Attributes:
        run_length: mean number of predictions between false alarms.
        audit_sla: seconds after which an audit without an answer is no longer waited for.
        settling: seconds after which Kili has what was sent together with a prediction.
        before: seconds before a drift that its alarm compares with.
    """

    run_length: float
    audit_sla: float
    settling: float
    before: float


@dataclass(slots=True)
class Look:
    """One look: what was stored before it, and what it has found beyond that.

    Attributes:
        stored: the state of each model version's detectors as it was stored.
        known: of alarms.
        watches: by model version.
        raised: new alarms, as :func:`worker.feedback.alarms.alarm_row` writes them.
        present: the model versions that records speak of.
    """

    stored: Mapping[str, bytes]
    known: KnownAlarms
    watches: dict[str, DriftWatch]
    raised: list[dict[str, Any]] = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    _starts: dict[str, Place] = field(default_factory=dict)

    def has_news(self, record: AssetRecord) -> bool:
        """Take note of a record; whether a detector has yet to look at one of its predictions."""
        self.present.update(answer.model for answer in record.answers)
        return any((answer.at, record.asset_id) > self._start(answer.model) for answer in record.answers)

    def _start(self, model: str) -> Place:
        """No detector looks at anything of a model version up to this place."""
        if model not in self._starts:
            watch = self.watches.get(model)
            start = FIRST if watch is None else watch.starts_after(self.known.acknowledgements(model))
            self._starts[model] = start
        return self._starts[model]

    @property
    def drift(self) -> dict[str, dict[str, Any]]:
        """Per model version, as figures show it: states, alarms, points."""
        known = replace(self.known, alarms={**self.known.alarms, **{row["id"]: row for row in self.raised}})
        return {
            model: {
                "states": {name: state.value for name, state in watch.states.items()},
                "alarms": known.rows(model),
                "points": [asdict(point) for point in watch.points],
            }
            for model, watch in self.watches.items()
        }


class Monitor:
    """The detectors of one project.

    Args:
        client: of the spool's Redis.
        prefix: of every key of the worker.
        project: id.
        book: of the project's alarms.
    """

    def __init__(self, client: redis.Redis, prefix: str, project: str, book: AlarmBook) -> None:
        self._redis = client
        self._key = f"{prefix}feedback:{project}:watches"
        self._book = book

    def begin(self) -> Look:
        """What is known before a look.

        Raises:
            StateError: a newer worker has stored it.
        """
        found: Any = self._redis.hgetall(self._key)
        stored = {model.decode(): text for model, text in found.items()}
        watches = {model: DriftWatch.restore(model, json.loads(text)) for model, text in stored.items()}
        return Look(stored, self._book.known(), watches)

    def go_on(self, look: Look, records: Iterable[AssetRecord], now: float, rules: MonitorRules) -> None:
        """Look at what has come; ``records`` may be more than those with news. Nothing is stored."""
        patience = Patience.at(now, rules.audit_sla, rules.settling)
        for model, cases in cases_by_model(records).items():
            watch = look.watches.get(model)
            owed: dict[str, int] = {}
            if watch is None:
                watch, owed = _beginning(model, look.known, now - rules.before)
                look.watches[model] = watch
            for name, progress in watch.progress.items():
                if not progress.raised and name not in owed:
                    progress.number = max(progress.number, look.known.last(model, name))
            pairs = [(case.sample, case.confidence) for case in cases]
            acknowledged = look.known.acknowledgements(model)
            alarms = watch.look(pairs, patience, acknowledged, run_length=rules.run_length)
            look.raised += [_row(alarm, cases, rules.before) for alarm in alarms]
            look.raised += [_row(alarm, [], 0.0) for alarm in _still_open(watch, owed, look.known)]

    def store(self, look: Look, now: float, horizon: float) -> bool:
        """Keep what a look has found, and forget what is too old; False if others have looked meanwhile."""
        states = {model: json.dumps(watch.state()).encode() for model, watch in look.watches.items()}
        gone = [
            model for model, watch in look.watches.items() if watch.seen < now - horizon and model not in look.present
        ]
        changed: Any = {model: text for model, text in states.items() if text != look.stored.get(model)}
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(self._key)  # type: ignore[no-untyped-call]
            if pipe.hgetall(self._key) != {model.encode(): text for model, text in look.stored.items()}:
                return False
            pipe.multi()
            if changed:
                pipe.hset(self._key, mapping=changed)
            if gone:
                pipe.hdel(self._key, *gone)
            self._book.keep(pipe, look.raised)
            self._forget_alarms(pipe, look, gone, now - horizon)
            try:
                pipe.execute()
            except WatchError:
                return False
        return True

    def _forget_alarms(self, pipe: Any, look: Look, gone: Sequence[str], before: float) -> None:
        """Alarms of what is gone, and those that were done with before a time; their numbers are not used again."""
        known = look.known
        numbers = [known.forgotten]
        alarms = {*known.alarms, *(row["id"] for row in look.raised)}
        ended = []
        for alarm_id in {*known.alarms, *known.acknowledged, *known.logged, *known.notified}:
            name = AlarmName.of(alarm_id)
            watch = look.watches.get(name.model) if name else None
            is_gone = watch is None or watch.model in gone
            done = max(times.get(alarm_id, 0.0) for times in (known.acknowledged, known.logged, known.notified))
            is_open = alarm_id in alarms and alarm_id not in known.acknowledged
            if done < before and (is_gone or not is_open):
                ended.append(alarm_id)
                numbers += [name.number] if name and is_gone else []
        self._book.forget(pipe, ended, max(numbers))


def _beginning(model: str, known: KnownAlarms, from_then: float) -> tuple[DriftWatch, dict[str, int]]:
    """Detectors that have no state yet, and the numbers of alarms that are told and open although they have none.

    Workers of before had no state: what they told keeps its number, and what was acknowledged stays so. The alarm that
    is open is looked for from ``from_then`` on, as they did.
    """
    watch, owed = DriftWatch(model), {}
    acknowledged = known.acknowledgements(model)
    for name in DETECTORS:
        last = known.last(model, name)
        progress = watch.progress[name] = DetectorProgress(number=max(last, known.forgotten))
        if last and last in acknowledged[name]:
            progress.accept(acknowledged[name][last])
        elif last:
            owed[name] = last
            progress.number, progress.place = last - 1, (from_then, "")
    return watch, owed


def _still_open(watch: DriftWatch, owed: Mapping[str, int], known: KnownAlarms) -> list[Alarm]:
    """The alarms that were told, wait for a person, and cannot be seen in the predictions any more."""
    found = []
    for name, number in owed.items():
        progress = watch.progress[name]
        if progress.number < number:
            alarm_id = f"{name}/{watch.model}/{number}"
            at = known.logged.get(alarm_id) or known.notified.get(alarm_id, 0.0)
            progress.number, progress.raised = number, True
            found.append(Alarm(alarm_id, name, DETECTORS[name].meaning, watch.model, at, at))
    return found


def _row(alarm: Alarm, cases: Sequence[SampledCase], before: float) -> dict[str, Any]:
    """What an alarm says, of the cases from some time before it on."""
    chosen = [case for case in cases if case.sample.at >= alarm.since - before]
    row = alarm_row(alarm, Weighed(chosen, weigh([case.sample for case in chosen])))
    return {name: value for name, value in row.items() if name != "acknowledged_at"}
