"""Server-sent events (HTML standard, section 9.2), taken up again where they broke off."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from taskhub_client.errors import HubUnreachable
from taskhub_client.exchange import TRIES, Emit, Flow, NoAnswer, Pause, Query, ReadChunk, Request, back_off, send

SILENT_SECONDS = 45.0  # the hub sends a comment every 15 s


@dataclass(frozen=True)
class ServerEvent:
    id: str
    name: str
    data: str


class EventDecoder:
    """Reads events from pieces of a stream, wherever it was cut."""

    def __init__(self, last_id: str = "") -> None:
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []
        self._name = ""
        self.last_id = last_id

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        lines = (self._rest + self._text.decode(chunk)).split("\n")
        self._rest = lines.pop()
        for line in lines:
            event = self._read_line(line.removesuffix("\r"))
            if event is not None:
                yield event

    def _read_line(self, line: str) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self.last_id, self._name or "message", "\n".join(self._data)) if self._data else None
            self._data, self._name = [], ""
            return event
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "data":
            self._data.append(value)
        elif key == "event":
            self._name = value
        elif key == "id":
            self.last_id = value
        return None


def server_events(
    path: str,
    name: str,
    parse: Callable[[Any], Any],
    *,
    query: Query | None = None,
    is_last: Callable[[Any], bool] = lambda value: False,
) -> Flow[None]:
    """Emits what `parse` makes of the events of this name, whose data is JSON.

    It ends behind the value that `is_last`, at an event named `end`, or where the hub has no more (204). A stream
    that breaks off is asked for again from behind its last event. Raises `HubUnreachable` after several tries in a
    row that brought nothing.
    """
    last_id, failures = "", 0
    while True:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        request = Request("GET", path, query, headers=headers, streamed=True, read_seconds=SILENT_SECONDS)
        response = yield from send(request)
        if response.status == 204:
            return
        decoder, reason = EventDecoder(last_id), "The stream of events ends before its last one."
        try:
            while chunk := (yield ReadChunk()):
                for event in decoder.feed(chunk):
                    last_id, failures = event.id, 0
                    if event.name == "end":
                        return
                    if event.name == name:
                        value = parse(json.loads(event.data))
                        yield Emit(value)
                        if is_last(value):
                            return
        except NoAnswer as error:
            reason = str(error)
        failures += 1
        if failures >= TRIES:
            raise HubUnreachable(reason)
        yield Pause(back_off(failures))
