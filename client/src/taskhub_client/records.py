"""What the hub says of runs, in Python's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SUCCESS, FAILURE, REVOKED = "SUCCESS", "FAILURE", "REVOKED"
ENDED = frozenset({SUCCESS, FAILURE, REVOKED})


def parse_time(text: str | None) -> datetime | None:
    """A time as the hub writes them (RFC 3339), with its zone."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


@dataclass(frozen=True)
class RunError:
    """Why a run failed."""

    type: str
    message: str
    where: str = ""  # the line of the walker's author that failed

    @classmethod
    def parse(cls, value: Mapping[str, Any] | None) -> RunError | None:
        if not value:
            return None
        return cls(str(value.get("type", "")), str(value.get("message", "")), str(value.get("where") or ""))


@dataclass(frozen=True)
class RunRecord:
    """A run as the hub showed it. `value` holds all members as they came."""

    id: str
    kind: str
    name: str
    state: str
    error: RunError | None
    progress: Mapping[str, Any] | None
    attempt: int
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    waiting_for: Mapping[str, str] | None = None  # `reason` and `detail`, while it waits
    result: Any = None  # where the whole run was asked for
    value: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> RunRecord:
        return cls(
            id=str(value["id"]),
            kind=str(value.get("kind", "")),
            name=str(value.get("name", "")),
            state=str(value["state"]),
            error=RunError.parse(value.get("error")),
            progress=value.get("progress"),
            attempt=int(value.get("attempt") or 0),
            created_at=parse_time(value.get("created_at")),
            started_at=parse_time(value.get("started_at")),
            finished_at=parse_time(value.get("finished_at")),
            tags=tuple(value.get("tags") or ()),
            metadata=value.get("metadata") or {},
            priority=value.get("priority"),
            waiting_for=value.get("waiting_for"),
            result=value.get("result"),
            value=value,
        )


@dataclass(frozen=True)
class LogLine:
    """A line of a run's log."""

    at: datetime | None
    level: str
    logger: str
    message: str
    attempt: int
    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> LogLine:
        return cls(
            parse_time(value.get("at")),
            str(value.get("level", "")),
            str(value.get("logger", "")),
            str(value.get("message", "")),
            int(value.get("attempt") or 0),
            value.get("fields") or {},
        )
