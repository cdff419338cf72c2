"""Records steps: request and response without secrets, cut at a limit."""

import json
from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from sequences.domain.exchange import StepRecord
from sequences.models import SequenceStep
from taskhub.error_texts import storable
from taskhub.runs.models import Run
from taskhub.security.masking import (
    MASK,
    SHORTEST,
    hide,
    hide_from_now,
    is_number,
    mask,
    mask_texts,
    mask_value,
    secrets_of,
    texts_of,
    written_forms,
)

Row = tuple[Any, ...]
HIDDEN_MAX = 500  # texts of one sensitive step that are looked for elsewhere
DIGITS_MIN = 6  # of a number of a sensitive step that is looked for elsewhere: years and counts are not

COLUMNS = (
    "run_id, number, path, title, method, url, status, duration_ms, error, note, attempt, skipped, again, sent, answer"
)
_COPY = f"COPY {SequenceStep._meta.db_table} ({COLUMNS}) FROM STDIN"


class StepRecorder:
    """Makes rows of a run's steps, without secrets: values under a secret's name in arguments or responses.

    What is hidden by `hide_text`, and all of sensitive steps, is not shown in the result, either.
    """

    def __init__(self, run: Run, values: Any) -> None:
        self._run = run
        self._secrets = written_forms(secrets_of(values))
        self._hidden: frozenset[str] = frozenset()  # in all forms in which they are written
        self._known: frozenset[str] = frozenset()
        self.hidden: list[str] = []  # the same object as long as nothing is added

    def hide_text(self, text: str) -> None:
        """From now on the text is hidden wherever it occurs."""
        self._hide(frozenset({text} if len(text) >= SHORTEST else ()))

    def hide_again(self, texts: Collection[str]) -> None:
        """Hides what a worker, or a run, before this one has hidden."""
        self._hide(frozenset(texts))

    def hide_values(self, persistence: dict[str, Any], names: Collection[str]) -> None:
        """Hides what sensitive steps have saved."""
        self._hide(_texts_and_numbers([persistence.get(name) for name in names]))

    def holds_hidden(self, value: Any) -> bool:
        """Whether a value has something in it that is hidden."""
        if not self._hidden or value is None or isinstance(value, bool):
            return False
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return any(hidden in text for hidden in self._hidden)

    def _hide(self, texts: frozenset[str]) -> None:
        if new := texts - self._known:
            new = frozenset(sorted(new, key=len, reverse=True)[:HIDDEN_MAX])
            self._known |= new
            self._hidden |= written_forms(new)
            self._secrets |= self._hidden
            self.hidden = sorted(self._known)
            hide_from_now(written_forms(new))

    def note_secrets(self, record: StepRecord) -> None:
        """Hides from now on what the step has shown to be secret."""
        if new := secrets_of(record.value) - self._secrets:
            self._secrets |= written_forms(new)
        if record.sent and record.sensitive:
            self._hide(_texts_and_numbers([record.sent.body, record.value]))

    def row(self, record: StepRecord, *, again: bool) -> Row:
        """A row for `store_steps`."""
        self.note_secrets(record)
        sent, shown = record.sent, not record.sensitive
        return (
            self._run.pk,
            record.number,
            record.path,
            record.title,
            record.method,
            (self.without_secrets(sent.address) if shown else MASK) if sent else "",
            record.status,
            record.duration_ms,
            self.shown_error(record),
            record.note,
            record.attempt,
            record.skipped,
            again,
            (self._json({"headers": sent.headers, "body": _masked_text(sent.body)}) if shown else MASK) if sent else "",
            self._json(_masked_text(record.value)) if shown else MASK,
        )

    def log_line(self, record: StepRecord) -> str:
        """A line for the log of the run: `requests[0] GET https://api.example.com/items: 200 in 12 ms`."""
        address = self.without_secrets(record.sent.address) if record.sent and not record.sensitive else ""
        words = [record.path, record.title and f'"{record.title}"', record.method, address]
        if record.skipped:
            return f"{' '.join(filter(None, words))}: skipped"
        outcome = [str(record.status or ""), self.shown_error(record), f"in {record.duration_ms} ms"]
        return f"{' '.join(filter(None, words))}: {' '.join(filter(None, outcome))}"

    def shown_request(self, record: StepRecord) -> dict[str, Any]:
        """What the step sent, whole: `{method, url, headers, body}`."""
        sent = record.sent
        assert sent
        if record.sensitive:
            return {"method": sent.method, "url": MASK, "headers": {}, "body": MASK}
        shown: dict[str, Any] = self._masked({"headers": sent.headers, "body": _masked_text(sent.body)})
        return {"method": sent.method, "url": mask(hide(sent.address, self._secrets)), **shown}

    def shown_error(self, record: StepRecord) -> str:
        """Why the step failed; empty where it did not."""
        if not record.error:
            return ""
        return MASK if record.sensitive else self.without_secrets(record.error)

    def without_secrets(self, text: str) -> str:
        return _cut(mask(hide(storable(text), self._secrets)))

    def shown_result(self, persistence: dict[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
        """Persistence as its owner is shown it: whole, but for secrets of the store and what is sensitive."""
        if not self._hidden and not sensitive:
            return persistence
        return {
            key: MASK if key in sensitive else mask_texts(value, self._hidden) for key, value in persistence.items()
        }

    def _json(self, value: Any) -> str:
        return _cut(json.dumps(self._masked(value), ensure_ascii=False))

    def _masked(self, value: Any) -> Any:
        masked = mask_value(value)
        return mask_texts(masked, self._secrets) if self._secrets else masked


def store_steps(rows: list[Row]) -> None:
    """Stores rows by COPY, which takes a fifth of the ORM's time, in the caller's transaction."""
    if rows:
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row(row)


def steps_topic(run_id: UUID) -> str:
    """What is published when steps of a run were stored."""
    return f"steps:{run_id}"


def _texts_and_numbers(value: Any) -> frozenset[str]:
    """What of a sensitive step's value is looked for elsewhere."""
    return texts_of(value) | frozenset(_numbers(value))


def _numbers(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif is_number(value) and len(str(value)) >= DIGITS_MIN:
        yield str(value)


def _masked_text(value: Any) -> Any:
    """Masks a text, which may hold `access_token=...`; other values are masked by their keys."""
    return mask(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    limit = settings.SEQUENCE_RECORD_MAX
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
