"""What the worker knows of itself, gathered from Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from worker.delivery import Documents, Pause, Pauses
from worker.environment import clock
from worker.feedback.service import summaries
from worker.monitoring.exposition import sample
from worker.monitoring.feedback_summary import metric_lines, status_lines
from worker.projects.review_policy import review_words
from worker.settings.tree import Settings
from worker.spool import Ledger, Spool, replacement_of
from worker.spool.call_counters import CallCounter
from worker.spool.dead_letters import DeadLetters
from worker.wiring import budget_of, inbox_of, spool_of


def collect(settings: Settings) -> dict[str, Any]:
    """Everything ``status`` shows, as plain data. Raises redis.RedisError when Redis is away."""
    spool = spool_of(settings)
    inbox = inbox_of(settings)
    letters = DeadLetters(spool.redis, spool.prefix)
    pauses = Pauses(spool.redis, spool.prefix, first=0, cap=0).all()
    ledger = spool.ledger()
    refusal = Documents(spool.redis, spool.prefix, wanted=settings.delivery.one_document).refusal()
    replaced = replacement_of(spool.redis, spool.prefix)
    projects = spool.projects()
    notice = letters.notice()
    return {
        "at_the_doors": inbox.backlog(),
        "doors_closed": ledger.waiting >= settings.intake.max_waiting,
        "sources": spool.sources(),
        "source_lags": spool.lags(),
        "pairs": inbox.pairs(),
        "ledger": _ledger(ledger),
        "projects": {project: _project(spool, project) for project in projects},
        "review": review_words(settings.review),
        "feedback": summaries(spool.redis, spool.prefix, projects),
        "dead_letters": letters.causes(),
        "dead_letters_expired": letters.expired(),
        "dead_letters_notice": asdict(notice) | {"words": str(notice)} if notice else None,
        "pauses": [_pause(pause) for pause in pauses],
        "calls": [asdict(count) for count in CallCounter(spool.redis, spool.prefix).counts()],
        "budget": budget_of(settings, spool).peek() if settings.kili_api_key else None,
        "one_document_refused": asdict(refusal) if refusal else None,
        "replaced": asdict(replaced) | {"words": str(replaced)} if replaced else None,
    }


REMEDIES = {
    "RefusedProject": "give the key access to the project (then: prediction-worker waiting retry PROJECT); a wrong id: "
    "prediction-worker waiting dead-letter PROJECT, or drop",
    "RefusedKey": "renew KILI_API_KEY and restart the workers",
    "LocalFault": "look at this worker's machine: name service, certificates, open files, memory",
    "InterfaceError": "mend the project's interface in Kili",
}
"""What an operator can do about a pause, by the kind of its error; any other passes or does not without him."""


def _pause(pause: Pause) -> dict[str, Any]:
    project = pause.scope.removeprefix("project:")
    remedy = REMEDIES.get(pause.kind, "").replace("PROJECT", project)
    return asdict(pause) | {"seconds": round(clock.now() - pause.since / 1000, 1), "remedy": remedy}


def _ledger(ledger: Ledger) -> dict[str, int]:
    return asdict(ledger) | {"balance": ledger.balance}


def _project(spool: Spool, project: str) -> dict[str, Any]:
    oldest = spool.oldest_ms(project)
    waited = round(max(0.0, clock.now() - oldest / 1000), 1) if oldest is not None else 0.0
    return _ledger(spool.ledger(project)) | {"lanes": spool.lanes(project), "oldest_seconds": waited}


def text(found: dict[str, Any]) -> str:
    """The status for a terminal."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    ledger = found["ledger"]
    parts = ("delivered", "superseded", "sampled_out", "dead", "dropped", "waiting", "leased")
    closed = " (closed: the spool is full)" if found["doors_closed"] else ""
    yield f"at the doors   {found['at_the_doors']}{closed}"
    yield f"received       {ledger['received']} = " + " + ".join(f"{ledger[part]} {part}" for part in parts)
    yield from _source_lines(found)
    if found["replaced"]:
        yield f"REDIS REPLACED {clock.now() - found['replaced']['at']:.0f} s ago: {found['replaced']['words']}"
    yield "conservation   " + ("holds" if ledger["balance"] == 0 else f"OFF BY {ledger['balance']}")
    for name, one in found["projects"].items():
        lanes = " ".join(map(str, one["lanes"]))
        counts = ", ".join(f"{one[state]} {state}" for state in ("waiting", "leased", "delivered"))
        yield f"project {name}: {counts}; lanes {lanes}"
    for cause, count in found["dead_letters"].items():
        yield f"dead letters   {count} {cause}"
    if found["dead_letters_expired"]:
        yield f"dead letters   {found['dead_letters_expired']} were dropped for their age or number"
    if found["dead_letters_notice"]:
        yield f"LETTERS END    {found['dead_letters_notice']['words']}"
    for pause in found["pauses"]:
        failures = f"{pause['failures']} failures"
        yield f"PAUSED         {pause['scope']} for {pause['seconds']} s, {failures}: {pause['reason']}"
        yield from _waiting_for(found, pause)
    yield f"review         {found['review']}"
    yield from status_lines(found["feedback"])
    if found["budget"]:
        budget = found["budget"]
        yield f"call budget    {budget['used']:g} of {budget['limit']:g} in the last minute"
    if found["one_document_refused"]:
        yield f"one document   is refused, calls go apart: {found['one_document_refused']['reason']}"
    failed = [count for count in found["calls"] if count["outcome"] != "ok"]
    calls, repeats = sum(c["calls"] for c in found["calls"]), sum(c["repeats"] for c in found["calls"])
    yield f"calls          {calls}, {sum(count['calls'] for count in failed)} failed, {repeats} repeated"
    for count in failed:
        yield f"  {count['operation']}: {count['calls']} {count['outcome']}"


def _source_lines(found: dict[str, Any]) -> Iterator[str]:
    if found["sources"]:
        yield "sources        " + ", ".join(f"{count} {name}" for name, count in found["sources"].items())
    if found["source_lags"]:
        yield "source lag     " + ", ".join(f"{count} {name}" for name, count in found["source_lags"].items())
    if any(found["pairs"].values()):
        yield "logged pairs   " + ", ".join(f"{count} {state}" for state, count in found["pairs"].items())


def _waiting_for(found: dict[str, Any], pause: dict[str, Any]) -> Iterator[str]:
    one = found["projects"].get(pause["scope"].removeprefix("project:"))
    if one is not None:
        count = one["waiting"] + one["leased"]
        yield f"               {count} predictions wait, the oldest for {one['oldest_seconds']:.0f} s; nothing is lost"
    if pause["remedy"]:
        yield f"               {pause['remedy']}"


def prometheus_text(found: dict[str, Any]) -> str:
    """The status in Prometheus' text exposition format."""
    return "\n".join(_metrics(found)) + "\n"


def _metrics(found: dict[str, Any]) -> Iterator[str]:
    ledger = found["ledger"]
    yield "# TYPE prediction_worker_received_total counter"
    yield sample("received_total", ledger["received"])
    yield "# TYPE prediction_worker_source_received_total counter"
    for source, count in found["sources"].items():
        yield sample("source_received_total", count, source=source)
    yield "# TYPE prediction_worker_source_lag gauge"
    for source, count in found["source_lags"].items():
        yield sample("source_lag", count, source=source)
    yield "# TYPE prediction_worker_logged_events gauge"
    for state, count in found["pairs"].items():
        yield sample("logged_events", count, state=state)
    yield "# TYPE prediction_worker_predictions gauge"
    for state in ("delivered", "superseded", "sampled_out", "dead", "dropped", "waiting", "leased"):
        yield sample("predictions", ledger[state], state=state)
    yield "# TYPE prediction_worker_conservation_error gauge"
    yield sample("conservation_error", ledger["balance"])
    yield "# TYPE prediction_worker_redis_replaced gauge"
    yield sample("redis_replaced", int(found["replaced"] is not None))
    yield "# TYPE prediction_worker_at_the_doors gauge"
    yield sample("at_the_doors", found["at_the_doors"])
    yield "# TYPE prediction_worker_dead_letters gauge"
    for cause, count in found["dead_letters"].items():
        yield sample("dead_letters", count, cause=cause)
    yield "# TYPE prediction_worker_dead_letters_expired_total counter"
    yield sample("dead_letters_expired_total", found["dead_letters_expired"])
    yield "# TYPE prediction_worker_dead_letters_ending gauge"
    yield sample("dead_letters_ending", int(found["dead_letters_notice"] is not None))
    yield "# TYPE prediction_worker_paused gauge"
    yield sample("paused", len(found["pauses"]))
    yield "# TYPE prediction_worker_calls_total counter"
    for count in found["calls"]:
        yield sample("calls_total", count["calls"], operation=count["operation"], outcome=count["outcome"])
    yield "# TYPE prediction_worker_repeated_calls_total counter"
    for count in found["calls"]:
        yield sample("repeated_calls_total", count["repeats"], operation=count["operation"], outcome=count["outcome"])
    yield from metric_lines(found["feedback"])
