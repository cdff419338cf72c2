"""Records steps: request and response without secrets, cut at a limit."""

import json
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from sequences.domain.exchange import StepRecord
from sequences.models import SequenceStep
from taskhub.error_texts import storable
from taskhub.runs.models import Run
from taskhub.security.masking import hide, mask, mask_value, secrets_of

Row = tuple[Any, ...]

COLUMNS = "run_id, number, path, method, url, status, duration_ms, error, note, again, sent, answer"
_COPY = f"COPY {SequenceStep._meta.db_table} ({COLUMNS}) FROM STDIN"


class StepRecorder:
    """Makes rows of a run's steps, without secrets: values under a secret's name in arguments or responses."""

    def __init__(self, run: Run, values: Any) -> None:
        self._run = run
        self._secrets = _with_quoted(secrets_of(values))

    def row(self, record: StepRecord, *, again: bool) -> Row:
        """A row for `store_steps`."""
        if new := secrets_of(record.value) - self._secrets:
            self._secrets |= _with_quoted(new)
        sent = record.sent
        return (
            self._run.pk,
            record.number,
            record.path,
            record.method,
            self.without_secrets(sent.address) if sent else "",
            record.status,
            record.duration_ms,
            self.without_secrets(record.error) if record.error else "",
            record.note,
            again,
            self._json({"headers": sent.headers, "body": _masked_text(sent.body)}) if sent else "",
            self._json(_masked_text(record.value)),
        )

    def without_secrets(self, text: str) -> str:
        return _cut(mask(hide(storable(text), self._secrets)))

    def _json(self, value: Any) -> str:
        return _cut(json.dumps(mask_value(value, self._secrets), ensure_ascii=False))


def store_steps(rows: list[Row]) -> None:
    """Stores rows by COPY, which takes a fifth of the ORM's time, in the caller's transaction."""
    if rows:
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row(row)


def _with_quoted(secrets: frozenset[str]) -> frozenset[str]:
    """The secrets, and how they are written in addresses."""
    return secrets | {quote(secret, safe="") for secret in secrets}


def _masked_text(value: Any) -> Any:
    """Masks a text, which may hold `access_token=...`; other values are masked by their keys."""
    return mask(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    limit = settings.SEQUENCE_RECORD_MAX
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
