"""Counters and histograms of the whole hub. A module declares those of what it does, and counts; see `reports`."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import INF

from taskhub.metrics.reports import SampleKey, count

_declared: dict[str, "SharedCounter | SharedHistogram"] = {}

SampleTotals = Mapping[str, Mapping[tuple[str, ...], float]]  # by the name of a sample, then the values of its labels


class SharedCounter:
    """A counter of the whole hub, by the values of its labels, each of which has few."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        _declared[name] = self

    def add(self, *values: str, amount: float = 1) -> None:
        """`values` are those of its labels, in their order."""
        if amount:
            count((self._name, *values), amount)

    def family(self, totals: SampleTotals) -> Metric:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, total in totals.get(self._name, {}).items():
            if len(values) == len(self._labels):  # another version may have others
                family.add_metric(values, total)
        return family


class SharedHistogram:
    """Seconds that something took, counted by upper bounds, and by the values of its labels."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], *labels: str) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._bounds = [*sorted(bounds), INF]
        _declared[name] = self

    def observe(self, seconds: float, *values: str) -> None:
        """`values` are those of its labels, in their order."""
        bound = self._bounds[bisect_left(self._bounds, seconds)]
        count((f"{self._name}_bucket", *values, _bound_text(bound)), 1)
        count((f"{self._name}_sum", *values), seconds)

    def family(self, totals: SampleTotals) -> Metric:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [_bound_text(bound) for bound in self._bounds]
        buckets = totals.get(f"{self._name}_bucket", {})
        for values, sum_value in totals.get(f"{self._name}_sum", {}).items():
            if len(values) == len(self._labels):
                counts = [buckets.get((*values, bound), 0.0) for bound in bounds]
                family.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), sum_value)
        return family


def _bound_text(bound: float) -> str:
    return "+Inf" if bound == INF else str(float(bound))


def shared_families(totals: Mapping[SampleKey, float]) -> Iterator[Metric]:
    """What is declared, with its totals. What only another version declares is left out."""
    by_name: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for (name, *values), total in sorted(totals.items()):
        by_name[name][tuple(values)] = total
    for declared in _declared.values():
        yield declared.family(by_name)
