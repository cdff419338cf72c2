"""Charts as SVG, made here: no script draws them, and each value can be read without seeing the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

HEIGHT = 100  # of the drawing, in units of its own; bars are stretched to the room that there is
BAR, GAP = 10, 2


@dataclass(frozen=True)
class Series:
    """Values of one kind, a value a label. `name` is what they count; the style sheet has a colour for each state."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class BarPart:
    """A rectangle of a chart, in units of its drawing."""

    x: float
    y: float
    width: float
    height: float
    name: str
    words: str


@dataclass(frozen=True)
class BarChart:
    """Bars beside each other, a bar a label, each with the values of all series on top of each other."""

    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    unit: str = ""
    adds_up: bool = True  # whether the sum of a series says anything

    @property
    def totals(self) -> list[float]:
        return [sum(one.values[index] for one in self.series) for index in range(len(self.labels))]

    @property
    def highest(self) -> float:
        return max(self.totals, default=0)

    @property
    def is_empty(self) -> bool:
        return self.highest <= 0

    @property
    def width(self) -> int:
        return len(self.labels) * (BAR + GAP)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def sums(self) -> list[tuple[str, float]]:
        return [(one.name, sum(one.values)) for one in self.series] if self.adds_up else []

    @property
    def parts(self) -> list[BarPart]:
        parts = []
        for index, label in enumerate(self.labels):
            top = float(HEIGHT)
            for one in self.series:
                if value := one.values[index]:
                    height = value / self.highest * HEIGHT
                    top -= height
                    words = f"{label}: {value:g}{self.unit} {one.name}"
                    x = index * (BAR + GAP) + GAP / 2
                    parts.append(BarPart(x, round(top, 2), BAR, round(height, 2), one.name, words))
        return parts

    @property
    def html(self) -> SafeString:
        return render_to_string("console/bar_chart.html", {"chart": self})


@dataclass(frozen=True)
class TimelineSpan:
    """A stretch of time of something, such as a run. It waits from `since`, and goes on from `start` to `end`."""

    label: str
    state: str
    since: datetime
    start: datetime | None
    end: datetime
    address: str = ""


@dataclass(frozen=True)
class Timeline:
    """Spans below each other, on one scale."""

    spans: Sequence[TimelineSpan]

    @property
    def rows(self) -> list[dict[str, object]]:
        """Each span with its places on the scale, in percent."""
        if not self.spans:
            return []
        first = min(span.since for span in self.spans)
        whole = max((max(span.end for span in self.spans) - first).total_seconds(), 0.001)

        def place(moment: datetime) -> float:
            return round(min(max((moment - first).total_seconds() / whole, 0), 1) * 100, 2)

        rows: list[dict[str, object]] = []
        for span in self.spans:
            since, start, end = place(span.since), place(span.start or span.end), place(span.end)
            took = (span.end - span.start).total_seconds() if span.start else None
            waited = ((span.start or span.end) - span.since).total_seconds()
            widths = {"waited_width": max(start - since, 0), "width": max(end - start, 0.5) if span.start else 0}
            rows.append(
                {"span": span, "since": since, "start": min(start, 99.5), "took": took, "waited": waited} | widths
            )
        return rows

    @property
    def html(self) -> SafeString:
        return render_to_string("console/timeline.html", {"rows": self.rows})
