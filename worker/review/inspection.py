"""What the commands show of a policy: how it works now, what it decides on test cases, and on recorded traffic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from html import escape
from itertools import groupby
from typing import Any

from worker.review.calibration import probability
from worker.review.capacity import DAY, Kind, granted_per_day
from worker.review.decision import SEPARATOR, ReviewDecision, ScoreSource, Subject
from worker.review.policy import FixedPolicy, RankedPolicy
from worker.review.policy_file import Policy, ReviewRule
from worker.review.redis_state import RedisState
from worker.review.state import ReviewState
from worker.review.triage import AUDIT, MUST_REVIEW, SCORED, RuleStatistics, scored_share


def overview(policy: Policy, state: RedisState, now: float) -> dict[str, Any]:
    """Rules as written, then every rule in every project and every model version that has been seen.

    Raises:
        redis.RedisError: what has been seen cannot be read; ``as_written`` needs no Redis.
    """
    sources, keys = state.sources(), state.rule_keys()
    state.refresh(sources, keys)
    rules = {rule.name: rule for rule in policy.rules}
    return as_written(policy) | {
        "projects": [
            _rule_row(name, state.rule_statistics(name), rules[name.partition(SEPARATOR)[2]], now)
            for name in keys
            if name.partition(SEPARATOR)[2] in rules
        ],
        "models": [_source(source, state) for source in sources],
    }


def as_written(policy: Policy) -> dict[str, Any]:
    """What the policy says, whatever has come of it."""
    return {
        "policy": policy.label,
        "scorer": policy.scorer,
        "rules": [rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in policy.rules],
    }


def _rule_row(name: str, rule_statistics: RuleStatistics, rule: ReviewRule, now: float) -> dict[str, Any]:
    counts = rule_statistics.counts
    seen = counts.day(Kind.SEEN, now)
    per_day = granted_per_day(rule.capacity, rule_statistics.reviewers)
    share = scored_share(rule, rule_statistics, now, arrivals=1)
    return {
        "project": name.partition(SEPARATOR)[0],
        "rule": rule.name,
        "predictions_24h": seen,
        "reviews_24h": counts.day(Kind.REVIEWS, now),
        "budget_24h": round(per_day if per_day is not None else seen * (rule.capacity.traffic_share or 0.0), 1),
        "must_review_24h": counts.day(Kind.MUST, now),
        "audits_24h": counts.day(Kind.AUDITS, now),
        "counted_only_24h": counts.day(Kind.LEFT_OUT, now),
        "reviewers_per_day": rule_statistics.reviewers,
        "share_for_doubtful": round(share, 4),
        "doubtful_above": round(probability(rule_statistics.log_odds.quantile(1 - share)), 4) if share else None,
    }


def _source(source: ScoreSource, state: RedisState) -> dict[str, Any]:
    calibration = state.calibration(source)
    return {
        "project": source.project,
        "job": source.job,
        "model": source.model,
        "predictions": state.histogram(source).seen,
        "verdicts": calibration.examples,
        "stronger_scorer_learned": state.vectors.fit(source) is not None,
        "percentile_slope": round(calibration.numbers[1], 3),
        "error_probability_at_median": round(probability(calibration.numbers[0]), 4),
    }


WIDTH, HEIGHT = 920, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 290, 56, 50
_COLOURS = ("#1b6ca8", "#d1495b", "#3c9d4e", "#8d6a9f", "#e08e0b", "#4f5d75", "#17a398", "#9c6644", "#b8336a")
_STYLE = "font: 12px system-ui, sans-serif; fill: #222"


def line_chart(title: str, x_label: str, y_label: str, lines: Mapping[str, Sequence[float]], first: float = 1) -> str:
    """Draw lines over equally spaced points, the first of which is called ``first``; the y axis begins at 0."""
    count = max((len(values) for values in lines.values()), default=0)
    top = _rounded_up(max((value for values in lines.values() for value in values), default=1.0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" style="{_STYLE}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 24, title, "start", ' font-weight="bold" font-size="14"'),
        *_y_axis(top, y_label),
        *_x_axis(count, first, x_label),
    ]
    for number, (name, values) in enumerate(lines.items()):
        parts += _line(number, name, values, count, top)
    return "\n".join([*parts, "</svg>\n"])


def _line(number: int, name: str, values: Sequence[float], count: int, top: float) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    dashes = ' stroke-dasharray="6 3"' if number >= len(_COLOURS) else ""
    points = " ".join(f"{_x(i, count):.1f},{_y(value, top):.1f}" for i, value in enumerate(values))
    at = _TOP + 8 + 20 * number
    left = WIDTH - _RIGHT + 16
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
        f'<line x1="{left}" x2="{left + 22}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="3"{dashes}/>',
        _text(left + 28, at + 4, name, "start"),
    ]


def _y_axis(top: float, label: str) -> list[str]:
    parts = [_text(_LEFT, _TOP - 12, label, "start", ' fill="#666"')]
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{value:g}", "end"))
    return parts


def _x_axis(count: int, first: float, label: str) -> list[str]:
    step = max(1, math.ceil(count / 10))
    ticks = [_text(_x(i, count), HEIGHT - _BOTTOM + 18, f"{first + i:g}", "middle") for i in range(0, count, step)]
    return [*ticks, _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, label, "middle", ' fill="#666"')]


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _x(number: float, count: int) -> float:
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * number / max(1, count - 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top


def _rounded_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= value * (1 - 1e-9))


EXPECTABLE = frozenset(ReviewDecision.__struct_fields__)


@dataclass(frozen=True, slots=True)
class TestCase:
    """A prediction, and what the policy must decide about it: decision fields by name; texts are shell patterns."""

    __test__ = False

    name: str
    subject: Subject
    expected: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case: per field that differs, what was expected and what was decided."""

    name: str
    differences: Mapping[str, tuple[Any, Any]]
    decision: ReviewDecision

    @property
    def passed(self) -> bool:
        """Nothing differs."""
        return not self.differences


def run_cases(policy: Policy, cases: Iterable[TestCase]) -> list[CaseResult]:
    """Decide on every case alone, by a policy that has seen nothing else.

    Raises:
        ValueError: a case expects something that no decision has.
    """
    return [_run(policy, case) for case in cases]


def _run(policy: Policy, case: TestCase) -> CaseResult:
    if unknown := set(case.expected) - EXPECTABLE:
        raise ValueError(f"{case.name}: no decision has {min(unknown)!r}; it has {', '.join(sorted(EXPECTABLE))}")
    decision = RankedPolicy(FixedPolicy(policy)).decide(case.subject)
    found = {name: (expected, getattr(decision, name)) for name, expected in case.expected.items()}
    return CaseResult(case.name, {name: pair for name, pair in found.items() if not _agrees(*pair)}, decision)


def _agrees(expected: Any, decided: Any) -> bool:
    if isinstance(expected, str) and isinstance(decided, str):
        return fnmatchcase(decided, expected)
    return bool(expected == decided)


STEP = 60.0
"""Seconds of traffic that are decided on together."""

Moment = tuple[float, Subject]

_BANDS = {MUST_REVIEW: "must_review", AUDIT: "audits", SCORED: "doubtful"}


@dataclass(slots=True)
class Tally:
    """Predictions, reviews by band, and errors: expected in all, and in those that would be reviewed."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: float = 0.0
    errors_reviewed: float = 0.0

    def add(self, decision: ReviewDecision) -> None:
        """Count one decision."""
        chance = decision.error_probability or 0.0
        self.counts["predictions"] += 1
        self.errors += chance
        if decision.band:
            self.counts["reviews"] += 1
            self.counts[_BANDS[decision.band]] += 1
            self.errors_reviewed += chance
        if not decision.upload:
            self.counts["counted_only"] += 1

    def row(self) -> dict[str, Any]:
        """For JSON and tables."""
        names = ("predictions", "reviews", *_BANDS.values(), "counted_only")
        errors = {"errors_expected": round(self.errors, 1), "errors_in_reviews": round(self.errors_reviewed, 1)}
        return {name: self.counts[name] for name in names} | errors


@dataclass(slots=True)
class Simulation:
    """Tallies by day (from 1) and by predicted class."""

    days: dict[int, Tally] = field(default_factory=dict)
    classes: dict[str, Tally] = field(default_factory=dict)

    def add(self, day: int, decision: ReviewDecision) -> None:
        """Count one decision of a day."""
        self.days.setdefault(day, Tally()).add(decision)
        self.classes.setdefault(decision.predicted, Tally()).add(decision)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "days": [{"day": day, **tally.row()} for day, tally in sorted(self.days.items())],
            "classes": {name: tally.row() for name, tally in sorted(self.classes.items())},
        }

    def plot(self) -> str:
        """Reviews and expected errors per day, as SVG."""
        rows = [self.days.get(day, Tally()).row() for day in range(1, max(self.days, default=0) + 1)]
        names = ("reviews", *_BANDS.values(), "errors_expected", "errors_in_reviews")
        lines = {name.replace("_", " "): [float(row[name]) for row in rows] for name in names}
        return line_chart("What the policy would have done", "day", "per day", lines)


def simulate(policy: Policy, moments: Iterable[Moment], state: ReviewState | None = None) -> Simulation:
    """Let a policy decide on predictions in the order of their times (seconds since the epoch)."""
    ordered = sorted(moments, key=lambda moment: moment[0])
    found = Simulation()
    if not ordered:
        return found
    began = ordered[0][0] // STEP * STEP
    clock = [began]
    ranked = RankedPolicy(FixedPolicy(policy), state, clock=lambda: clock[0])
    for at, batch in _steps(ordered):
        clock[0] = at
        for decision in ranked.decide_all(batch):
            found.add(1 + int((at - began) // DAY), decision)
    return found


def spread_over(subjects: Sequence[Subject], days: float, began: float = 0.0) -> Iterator[Moment]:
    """Give predictions times at equal distances over so many days."""
    for number, subject in enumerate(subjects):
        yield began + days * DAY * number / len(subjects), subject


def _steps(moments: Iterable[Moment]) -> Iterator[tuple[float, list[Subject]]]:
    for number, group in groupby(moments, key=lambda moment: moment[0] // STEP):
        yield number * STEP, [subject for _, subject in group]
