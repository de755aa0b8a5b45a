"""The figures that a run boils down to: medians, and ratios of what was measured side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.speed.doors import LIST, Door
from benchmarks.speed.extrapolation import seconds_for
from benchmarks.speed.plan import Plan
from benchmarks.speed.race import Result
from benchmarks.speed.samples import Sample
from benchmarks.speed.suite import Measured, Races


class Figures:
    """Looks up what a run found; everything is None where the run did not measure it."""

    def __init__(self, found: Measured, plan: Plan) -> None:
        self.found = found
        self.plan = plan

    def results(self, competitor: str, latency: float, predictions: int) -> list[Result]:
        """The repetitions of a competitor under a condition."""
        return [
            result
            for races in self.found.races
            if (races.latency, races.predictions) == (latency, predictions)
            for result in races.results
            if result.competitor == competitor
        ]

    def nearest(self, competitor: str, latency: float, predictions: int) -> list[Result]:
        """Those repetitions, or those of the greatest number of predictions that the competitor ran at this latency."""
        exact = self.results(competitor, latency, predictions)
        if exact:
            return exact
        runs = [races for races in self.found.races if races.latency == latency and _ran(competitor, races)]
        return self.results(competitor, latency, max((r.predictions for r in runs), default=0))

    def seconds(
        self, competitor: str, latency: float, predictions: int, calls_per_minute: int = 0
    ) -> tuple[Sample, bool] | None:
        """Seconds for so many predictions, and whether they were measured to the end."""
        results = self.nearest(competitor, latency, predictions)
        if not results:
            return None
        whole = not calls_per_minute and all(one.is_whole and one.predictions == predictions for one in results)
        return Sample.of([seconds_for(one, predictions, calls_per_minute) for one in results]), whole

    def ratio(self, competitor: str, to: str = "us", latency: float | None = None) -> float | None:
        """Seconds of one competitor over those of another, in the headline condition or at another latency."""
        delay, predictions = self.plan.headline
        condition = (delay if latency is None else latency, predictions)
        one, other = (self.seconds(name, *condition) for name in (competitor, to))
        return one[0].median / other[0].median if one and other else None

    def cpu_us(self, competitor: str) -> Sample | None:
        """Microseconds of processor time per prediction in the headline condition."""
        results = self.nearest(competitor, *self.plan.headline)
        return Sample.of([1e6 * one.cpu / one.finished for one in results]) if results else None

    def redis_us(self, competitor: str) -> Sample | None:
        """Microseconds of Redis' processor time per prediction in the headline condition."""
        results = self.nearest(competitor, *self.plan.headline)
        return Sample.of([1e6 * one.redis_cpu / one.finished for one in results]) if results else None

    def calls_per_1000(self, competitor: str, *, interface: bool = True) -> Sample | None:
        """Calls per 1,000 predictions in the headline condition, with or without reading the project."""
        results = self.nearest(competitor, *self.plan.headline)
        counts = [one.calls - (0 if interface else one.project_reads) for one in results]
        return Sample.of([1000 * n / one.finished for n, one in zip(counts, results, strict=True)]) if results else None

    def per_minute(self, competitor: str) -> float | None:
        """Predictions finished per minute under the call limit."""
        return next(
            (60 * one.finished / one.seconds for one in self.found.minute if one.competitor == competitor), None
        )

    def door(self, name: str) -> Sample | None:
        """Messages a second through a door of ours, or of the bare loops."""
        return _rates(self.found.doors, name)

    def producer(self, name: str) -> Sample | None:
        """Messages a second of a producer."""
        return _rates(self.found.producers, name)

    def source(self, name: str) -> float | None:
        """Messages a second of a source over those of the bare loop of its protocol."""
        return next((one.ratio for one in self.found.sources if one.name == name), None)

    def calls_per_batch(self, competitor: str) -> float | None:
        """Calls per 100 predictions that arrive together."""
        return next((one.per_batch for one in self.found.arriving if one.competitor == competitor), None)


def _ran(competitor: str, races: Races) -> bool:
    return any(one.competitor == competitor for one in races.results)


def _rates(doors: Iterable[Door], name: str) -> Sample | None:
    rates = [door.per_second for door in doors if door.name == name]
    return Sample.of(rates) if rates else None


def names_of(doors: Sequence[Door]) -> list[str]:
    """Each door once, in order."""
    return list(dict.fromkeys(door.name for door in doors))


def divided(one: Sample | float | None, by: Sample | float | None) -> float | None:
    """A ratio of medians, None where one of them is missing."""
    above, below = (value.median if isinstance(value, Sample) else value for value in (one, by))
    return above / below if above is not None and below else None


STREAM, LISTS, SINGLES = "stream", f"celery, lists of {LIST}", "celery, one by one"
BARE_TASK, BARE_STREAM = "bare Celery task", "bare XREADGROUP loop"
