"""Steps on record: what was sent and what came back, without secrets, and never more than fits."""

import json
from typing import Any
from urllib.parse import quote

from django.conf import settings

from sequences.domain.exchange import StepRecord
from sequences.models import Step
from taskhub.runs.models import Run
from taskhub.secrets import hide, mask, mask_value, secrets_of


class Scribe:
    """Knows the secrets that a run has met: what stood under a secret's name in its arguments or in an answer."""

    def __init__(self, run: Run, known: Any) -> None:
        self._run = run
        self._secrets = _with_quoted(secrets_of(known))

    def step(self, record: StepRecord, *, again: bool) -> Step:
        if new := secrets_of(record.value) - self._secrets:
            self._secrets |= _with_quoted(new)
        sent = record.sent
        return Step(
            run=self._run,
            number=record.number,
            path=record.path,
            method=record.method,
            url=self.hidden(sent.address) if sent else "",
            status=record.status,
            duration_ms=record.duration_ms,
            error=self.hidden(record.error or ""),
            again=again,
            sent=self._json({"headers": sent.headers, "body": sent.body}) if sent else "",
            answer=self._json(record.value),
        )

    def hidden(self, text: str) -> str:
        return _cut(mask(hide(text, self._secrets)))

    def _json(self, value: Any) -> str:
        return _cut(json.dumps(mask_value(value, self._secrets), ensure_ascii=False))


def _with_quoted(secrets: frozenset[str]) -> frozenset[str]:
    """As they stand in addresses, too."""
    return secrets | {quote(secret, safe="") for secret in secrets}


def _cut(text: str) -> str:
    limit = settings.SEQUENCE_RECORD_MAX
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
