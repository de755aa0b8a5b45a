"""Numbers by labels, cheap to add to, and the text that they become.

Adding to a counter or to a histogram takes a lock and a few operations on plain numbers, for a whole batch at once. The
client library sees them only when somebody asks.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import Collector

from worker.monitoring.metrics import Metric, MetricKind

OTHER = "_other"
"""The value of a label for all names beyond the limit."""

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Labels = tuple[str, ...]


class LabelLimit:
    """Gives the first so many names a value of their own, for good; the others share one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._beyond: set[str] = set()

    def of(self, name: str) -> str:
        """The value of the label for a name."""
        if name in self._known:
            return name
        if len(self._known) < self._most:
            self._known.add(name)
            return name
        if len(self._beyond) < 10 * self._most:  # enough to say how many there are, and no leak
            self._beyond.add(name)
        return OTHER

    def keep(self, names: Iterable[str]) -> None:
        """Forget every other name, so that its place is free."""
        kept = set(names)
        self._known &= kept
        self._beyond &= kept

    @property
    def left_out(self) -> int:
        """How many names share one value."""
        return len(self._beyond)


class Counter:
    """A counter by labels; safe to share among threads."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._values: dict[Labels, float] = {}
        self._guard = threading.Lock()

    def add(self, number: float, *labels: str) -> None:
        """Add a number to the series of these labels."""
        with self._guard:
            self._values[labels] = self._values.get(labels, 0) + number

    def family(self) -> Family:
        """What is exposed; a counter without labels is there from the start."""
        with self._guard:
            values = dict(self._values)
        if not values and not self.metric.labels:
            values[()] = 0.0
        return family_of(self.metric, values)


class MetricHistogram:
    """A histogram by labels; safe to share among threads."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._bounds = list(metric.buckets)
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}
        self._guard = threading.Lock()

    def observe(self, values: Iterable[float], *labels: str) -> None:
        """Note some values in the series of these labels."""
        bounds = self._bounds
        with self._guard:
            found = self._series.get(labels)
            if found is None:
                found = self._series[labels] = ([0] * (len(bounds) + 1), [0.0])
            counts, total = found
            for value in values:
                counts[bisect_left(bounds, value)] += 1
                total[0] += value

    def family(self) -> Family:
        """What is exposed; a histogram without labels is there from the start."""
        family = HistogramMetricFamily(self.metric.full_name, self.metric.meaning, labels=self.metric.labels)
        with self._guard:
            series = {labels: (list(counts), total[0]) for labels, (counts, total) in self._series.items()}
        if not series and not self.metric.labels:
            series[()] = ([0] * (len(self._bounds) + 1), 0.0)
        for labels, (counts, total) in series.items():
            family.add_metric([_text(one) for one in labels], _cumulative(self._bounds, counts), total)
        return family


def family_of(
    metric: Metric,
    values: Mapping[Labels, float] | float | None,
    *,
    merge: Callable[[float, float], float] = lambda one, other: one + other,
) -> Family:
    """A family with these values; a number alone is that of a metric without labels, None is nothing.

    ``merge`` joins the values of labels that are written the same way.
    """
    make = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = make(metric.full_name, metric.meaning, labels=metric.labels)
    found: dict[Labels, float] = {}
    given = values if isinstance(values, Mapping) else {} if values is None else {(): values}
    for labels, value in given.items():
        written = tuple(map(_text, labels))
        found[written] = merge(found[written], value) if written in found else value
    for written, value in found.items():
        family.add_metric(written, value)
    return family


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    rows, total = [], 0
    for bound, count in zip([*map(float, bounds), float("inf")], counts, strict=True):
        total += count
        rows.append(("+Inf" if bound == float("inf") else repr(bound), float(total)))
    return rows


def _text(name: str) -> str:
    """What UTF-8 cannot hold, half of a surrogate pair, becomes ``?``."""
    return name.encode("utf-8", "replace").decode()


class Families(Collector):
    """A collector of the client library around a function."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Family]:
        """The families now."""
        yield from self._collect()

    def describe(self) -> Iterator[Family]:
        """Nothing is known before somebody asks."""
        return iter(())


def exposition(registry: CollectorRegistry, accept: str = "") -> tuple[str, bytes]:
    """Content type and body in the format that the ``Accept`` header asks for: Prometheus' text or OpenMetrics."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def plain_text(families: Iterable[Family]) -> str:
    """Families in Prometheus' text format."""
    found = list(families)
    registry = CollectorRegistry()
    registry.register(Families(lambda: found))
    return generate_latest(registry).decode()
