"""The fields of a crontab, as cron and Celery read them: numbers, names, ranges, steps, and lists of these. Pure."""

from dataclasses import dataclass

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


@dataclass(frozen=True)
class CronField:
    """What may stand in a field: numbers from `first` to `last`, and names, of which the first one is `first`.

    With `again` one more number stands for `first`, as 7 does for Sunday.
    """

    title: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    again: bool = False

    def numbers(self, text: str) -> frozenset[int]:
        """The numbers that a text stands for, such as `1,mon-fri/2` or `22-2`. Raises `ValueError`."""
        return frozenset(number for part in text.split(",") for number in self._part(part))

    def _part(self, part: str) -> list[int]:
        span, slash, step = (piece.strip() for piece in part.partition("/"))
        first, dash, last = (piece.strip() for piece in span.partition("-"))
        if span == "*":
            numbers = self._range(self.first, self.last)
        elif dash or not slash:
            numbers = self._range(self._number(first, part), self._number(last if dash else first, part))
        else:  # 5/10 begins at 5
            numbers = self._range(self._number(first, part), self.last)
        return numbers[:: _step(step, part)] if slash else numbers

    def _range(self, first: int, last: int) -> list[int]:
        """The numbers from `first` to `last`; over the end, and on from the beginning, where it comes before it."""
        end = self.last + 1
        if self.again and first == end != last:
            first = self.first
        numbers = range(first, last + 1) if first <= last else [*range(first, end), *range(self.first, last + 1)]
        return [self.first if number == end else number for number in numbers]

    def _number(self, text: str, part: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 4:
            number = int(text)
        elif len(text) >= 3 and (found := [name for name in self.names if name.startswith(text.lower())]):
            number = self.first + self.names.index(found[0])
        else:
            raise ValueError(f"{part.strip()[:40]!r} is no {self.title}.")
        if not self.first <= number <= self.last + self.again:
            raise ValueError(f"{number} is no {self.title}; there are {self.first} to {self.last + self.again}.")
        return number


def _step(text: str, part: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and int(text):
        return int(text)
    raise ValueError(f"{part.strip()[:40]!r} has no step that is a number from 1 on.")


CRON_FIELDS = {
    "minute": CronField("minute", 0, 59),
    "hour": CronField("hour", 0, 23),
    "day_of_week": CronField("day of the week", 0, 6, _DAYS, again=True),
    "day_of_month": CronField("day of the month", 1, 31),
    "month_of_year": CronField("month", 1, 12, _MONTHS),
}
