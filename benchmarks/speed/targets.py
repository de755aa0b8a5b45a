"""What the worker is meant to reach, and by how much it does or does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.speed.doors import LIST
from benchmarks.speed.figures import BARE_STREAM, BARE_TASK, LISTS, SINGLES, STREAM, Figures, divided
from benchmarks.speed.samples import Sample
from benchmarks.speed.sources import HTTP_LISTS

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure; ``bounded_by`` says what stands in the way where it is not met."""

    what: str
    sign: Literal["<=", ">="]
    bound: float
    figure: Callable[[Figures], Sample | float | None]
    unit: str = ""
    bounded_by: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was measured; ``is_met`` is None where this run did not measure it."""

    what: str
    target: str
    value: float | None
    is_met: bool | None
    remark: str


def verdicts(figures: Figures) -> list[Verdict]:
    """Judge every target."""
    return [_verdict(target, figures) for target in TARGETS]


def _verdict(target: Target, figures: Figures) -> Verdict:
    found = target.figure(figures)
    value = found.median if isinstance(found, Sample) else found
    bound = f"{'≤' if target.sign == '<=' else '≥'} {target.bound:,g}{target.unit}"
    if value is None:
        return Verdict(target.what, bound, None, None, "")
    met = value <= target.bound if target.sign == "<=" else value >= target.bound
    return Verdict(
        target.what, bound, value, met, "" if met else f"{_missed(target, value)} {target.bounded_by}".strip()
    )


def _missed(target: Target, value: float) -> str:
    """By how much: a share of the bound, or the value itself where the bound is 0."""
    by = f"{abs(value / target.bound - 1):.0%}" if target.bound else f"{value:,g}"
    return f"by {by}{':' if target.bounded_by else ''}"


def _share(figures: Figures) -> float | None:
    return min((fleet.share for fleet in figures.found.fleets), default=None)


def _refused(figures: Figures) -> float | None:
    return float(sum(fleet.refused for fleet in figures.found.fleets)) if figures.found.fleets else None


def _memory(figures: Figures) -> float | None:
    levels = figures.found.growth
    return (levels[-1].worker_bytes - levels[0].worker_bytes) / MEGABYTE if levels else None


def _cost(figures: Figures) -> float | None:
    levels = figures.found.growth
    return levels[-1].cost_us / levels[0].cost_us if levels else None


def _wait(figures: Figures) -> float | None:
    return figures.found.backlog.waits.p95 if figures.found.backlog else None


def _routine(figures: Figures) -> float | None:
    return figures.found.backlog.routine_per_second if figures.found.backlog else None


def _rank(figures: Figures) -> float | None:
    return figures.found.micro[0].rank if figures.found.micro else None


def _light(figures: Figures) -> float | None:
    light = figures.found.light
    return light.waits.p95 / light.bound if light else None


ONE_THREAD = (
    "one thread of Python, which parses while Redis runs its scripts; its work is spread over reading, scores, "
    "decision and Redis, none of them more than a third (profile.md)"
)
PATIENCE = "a priority that has waited two seconds for others is set without them, which a slow machine makes happen"
UNDER_WAY = "batches that have begun are finished first, at 500 calls a minute each takes a quarter of a second"
ONE_INTERPRETER = (
    "one process reads, decides, composes and validates under the interpreter's lock while it sends; "
    "the floor's bodies are made beforehand"
)
IN_PYTHON = (
    "both halves run in Python and are spread thinly: reading, scores, decision, waves, Redis, composing, bodies, "
    "HTTP (profile.md)"
)
ADDS_TO_THE_INBOX = (
    "each message is put into the inbox in Redis before its offset is committed, and both wait for the interpreter's "
    "lock; the bare loop parses and forgets"
)
IN_REDIS = "the goal is 0.7 of what Redis 7.0 took before admission and settlement were rewritten"
SERVER = (
    "Redis grows, not the worker, where the server has the C library's allocator, as the wheel's Valkey has: with "
    "jemalloc it does not; docs/operations.md says how to load it"
)

TARGETS = (
    Target(
        "calls per 1,000 new predictions, 20 % prioritised, from a backlog, the project's interface known",
        "<=",
        23,
        lambda f: f.calls_per_1000("us", interface=False),
        bounded_by=PATIENCE,
    ),
    Target(
        "the same with one document a batch", "<=", 13, lambda f: f.calls_per_1000("us-one-document", interface=False)
    ),
    Target("calls per 100 predictions that arrive together", "<=", 4, lambda f: f.calls_per_batch("us")),
    Target("SDK one by one ÷ us, wall time", ">=", 1_000, lambda f: f.ratio("sdk-one"), "", ONE_INTERPRETER),
    Target(
        "SDK in bulk as the tutorial ÷ us, wall time", ">=", 13, lambda f: f.ratio("sdk-tutorial"), "", ONE_INTERPRETER
    ),
    Target("SDK in bulk at its best ÷ us, wall time", ">=", 9, lambda f: f.ratio("sdk-best"), "", ONE_INTERPRETER),
    Target(
        "us ÷ SDK at its best, predictions per minute under the call limit",
        ">=",
        1.0,
        lambda f: divided(f.per_minute("us"), f.per_minute("sdk-best")),
    ),
    Target(
        "the same with one document a batch",
        ">=",
        1.8,
        lambda f: divided(f.per_minute("us-one-document"), f.per_minute("sdk-best")),
    ),
    Target("us ÷ floor, wall time", "<=", 1.2, lambda f: f.ratio("us", "floor"), "", ONE_INTERPRETER),
    Target(
        "the same with one document a batch",
        "<=",
        0.9,
        lambda f: f.ratio("us-one-document", "floor"),
        "",
        ONE_INTERPRETER,
    ),
    Target("us ÷ floor without latency", "<=", 1.8, lambda f: f.ratio("us", "floor", 0.0), "", ONE_INTERPRETER),
    Target("share of the call budget used under a backlog", ">=", 0.98, _share),
    Target("calls that Kili refused (429)", "<=", 0, _refused),
    Target("wait of a doubtful prediction under a backlog, p95", "<=", 2, _wait, " s", UNDER_WAY),
    Target("routine predictions that flow meanwhile, per second", ">=", 1, _routine),
    Target(
        "worker CPU per prediction ÷ that of the SDK in bulk at its best",
        "<=",
        0.5,
        lambda f: divided(f.cpu_us("us"), f.cpu_us("sdk-best")),
        "",
        IN_PYTHON,
    ),
    Target("Redis CPU per prediction", "<=", 109, lambda f: f.redis_us("us"), " µs", IN_REDIS),
    Target(
        "stream source ÷ bare XREADGROUP loop that parses, messages per second",
        ">=",
        0.35,
        lambda f: divided(f.door(STREAM), f.door(BARE_STREAM)),
        bounded_by=ONE_THREAD,
    ),
    Target(
        f"Celery door, lists of {LIST}, messages per second",
        ">=",
        8_000,
        lambda f: f.door(LISTS),
        bounded_by=ONE_THREAD,
    ),
    Target("Celery door one by one ÷ bare Celery task", ">=", 6, lambda f: divided(f.door(SINGLES), f.door(BARE_TASK))),
    Target(
        "producer helper ÷ bare send_task, one by one",
        ">=",
        3,
        lambda f: divided(f.producer("helper, celery one by one"), f.producer("bare send_task")),
    ),
    Target(
        "producer helper ÷ bare send_task, in lists",
        ">=",
        20,
        lambda f: divided(f.producer(f"helper, celery lists of {LIST}"), f.producer("bare send_task")),
    ),
    Target(f"{HTTP_LISTS} ÷ bare Starlette handler that parses and XADDs", ">=", 0.5, lambda f: f.source(HTTP_LISTS)),
    Target(
        "kafka ÷ bare consumer loop that parses", ">=", 0.2, lambda f: f.source("kafka"), bounded_by=ADDS_TO_THE_INBOX
    ),
    Target("light load, p95 from publish to visible ÷ (linger + 3 round trips)", "<=", 1, _light),
    Target("worker memory, least to greatest backlog", "<=", 20, _memory, " MB"),
    Target("cost per prediction, greatest backlog ÷ least", "<=", 1.15, _cost, "", SERVER),
    Target("decision of the ranked policy, a classification among 200", "<=", 50, _rank, " µs"),
)
