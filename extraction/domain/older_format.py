"""Keys of the extraction cloud's older format of payloads (`extractor`): what is to be written in their place. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskhub.errors import ErrorEntry
from taskhub.jsontools.schema import NO_SUCH_NAME
from taskhub.jsontools.strict_json import escape_pointer

EXTRACTOR = "extractor"
OLDER_KEYS = {
    EXTRACTOR: 'Write "attrs" and "filters" in the field itself.',
    "fetcherType": 'Write it as "type" in "request".',
    "paginateResults": "Leave it out: the pages of a list are one result.",
    "paginatedResults": "Leave it out: the pages of a list are one result.",
    "fetchDelay": 'Write it as "delay", in seconds.',
    "randomizeFetchDelay": "Leave it out: each host has a pace of its own.",
    "retryTimes": "Leave it out: what may succeed later is tried again.",
    "compressor": 'Write "gzip": true.',
    "userToken": 'Leave it out: cookies belong to a process; "cookies" in "request" are sent with it.',
    "preview": "Leave it out.",
}
EXTRACTOR_KEYS = {
    "types": 'Write it as "attrs" in the field; for regex, a filter; for path, "path": true in the payload.',
    "filters": 'Write it as "filters" in the field.',
    "displayAs": 'Write it as "type" in the field.',
    "params": 'Write "filters" in the field.',
}
PARAM_KEYS = {
    "regexp": 'Write {"name": "regex", "param": "..."} in "filters" of the field.',
    "includeIfEmpty": "Leave it out: a block without any match gives no record.",
}
UNKNOWN = "This belongs to an older format, and has no effect: leave it out."


def explain_older_keys(places: Sequence[ErrorEntry], sent: Any, at: str = "") -> list[ErrorEntry]:
    """The places of faults in a payload; each key of the older format that is unknown there says what to write.

    `places` are those of names that are unknown, and of other faults; their pointers begin with `at`.
    """
    return [explained for place in places for explained in _explain(place, sent, at)]


def _explain(place: ErrorEntry, sent: Any, at: str) -> Iterator[ErrorEntry]:
    pointer = str(place["pointer"])
    key = pointer.rpartition("/")[2]
    if key not in OLDER_KEYS or place["detail"] != NO_SUCH_NAME:
        yield place
        return
    value = _value_at(sent, pointer.removeprefix(at))
    if key == EXTRACTOR and isinstance(value, Mapping) and value:
        yield from _explain_members(value, pointer, EXTRACTOR_KEYS)
    else:
        yield {"pointer": pointer, "detail": OLDER_KEYS[key]}


def _explain_members(members: Mapping[str, Any], pointer: str, words: Mapping[str, str]) -> Iterator[ErrorEntry]:
    for name, value in list(members.items())[:20]:
        at = f"{pointer}/{escape_pointer(name)}"
        if name == "params" and words is EXTRACTOR_KEYS and isinstance(value, Mapping) and value:
            yield from _explain_members(value, at, PARAM_KEYS)
        else:
            yield {"pointer": at, "detail": words.get(name, UNKNOWN)}


def _value_at(sent: Any, pointer: str) -> Any:
    """What stands at a pointer whose steps are names of the format and indexes, which need no escapes."""
    for step in pointer.split("/")[1:]:
        sent = sent[int(step)] if isinstance(sent, list) else sent.get(step)
    return sent
