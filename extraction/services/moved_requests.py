"""What a task's request holds that may be secret goes where the task says, and not where one run's changes say.

Who may run a task need not be who may read it: a key with the scope `run`, or staff, to whom it is shown masked.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from extraction.domain.page_addresses import fetchable_address
from taskhub.errors import ErrorEntry
from taskhub.jsontools.schema import rejected
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.outbound import Refused, Target, read_origin

# Of parts of a payload: the addresses that they name, and what is for these alone. Actions may type a password.
HELD_BY = {
    "request": (("url", "urls", "sitemap", "proxy"), ("headers", "cookies", "form", "json", "body", "actions")),
    "login": (("url",), ("form", "actions")),
}


def check_moved_request(stored: Mapping[str, Any], changes: Mapping[str, Any], at: str) -> None:
    """Where changes give the request, or the login, another origin: raises `Rejected` with what is to be sent again."""
    places = [
        place
        for name, (addresses, held) in HELD_BY.items()
        for place in _not_given_again(stored.get(name), changes.get(name), addresses, held, f"{at}/{name}")
    ]
    if places:
        raise rejected(places)


def _not_given_again(
    request: Any, change: Any, addresses: Sequence[str], held: Sequence[str], at: str
) -> Iterator[ErrorEntry]:
    if not isinstance(request, Mapping) or not isinstance(change, Mapping):
        return
    if any(name in change and _origins(change[name]) != _origins(request.get(name)) for name in addresses):
        yield from _not_given(request, change, held, at)


def _origins(value: Any) -> Set[Target | str]:
    """The origins of an address, or of a list of them."""
    return {_origin(address) for address in (value if isinstance(value, list) else [value])}


def _origin(address: Any) -> Target | str:
    """The origin of an address; the address itself where it has none, such as one that is empty."""
    text = address.strip() if isinstance(address, str) else ""
    try:
        return read_origin(fetchable_address(text) or text, userinfo=True)
    except Refused:
        return text


def _not_given(
    request: Mapping[str, Any], change: Mapping[str, Any], held_names: Sequence[str], at: str
) -> Iterator[ErrorEntry]:
    """The places of what a merge (RFC 7396) would keep."""
    for name in held_names:
        held, given, pointers = request.get(name), change.get(name), list[str]()
        if held and name not in change:
            pointers = [f"{at}/{name}"]
        elif isinstance(held, Mapping) and isinstance(given, Mapping):
            pointers = [f"{at}/{name}/{escape_pointer(inner)}" for inner in held if inner not in given]
        for pointer in pointers:
            yield {"pointer": pointer, "detail": "Give it again, or null: the request has another origin."}
