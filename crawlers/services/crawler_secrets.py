"""Secret values of crawlers and tasks. They were given for the origin (RFC 6454) that the external's endpoint had then,
and are sent to no other: where the endpoint has moved, they are to be given again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from crawlers.domain.parameters import replace_secret_defaults
from crawlers.models import Crawler, CrawlerTask, External
from taskhub.errors import Conflict, ErrorEntry
from taskhub.jsontools.schema import rejected
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.outbound import read_origin
from taskhub.security.masking import MASK

MOVED = "Give it again: the external's endpoint has another origin now."


def secrets_for(external: External, *, params: Mapping[str, Any], credential: Any) -> dict[str, Any]:
    """Secrets as a crawler or a task stores them, with the origin that they are for."""
    return {"params": dict(params), "credential": credential, "origin": origin_of(external)}


def origin_of(external: External) -> str:
    return str(read_origin(external.endpoint))


def have_moved(row: Crawler | CrawlerTask) -> bool:
    """Whether the external's endpoint had another origin when these secrets were given.

    Those of an older version do not say for which they were: they are good as long as the endpoint has never moved.
    """
    origin = row.secrets.get("origin")
    return row.external.moved_at is not None if origin is None else bool(origin != origin_of(row.external))


def usable_secrets(row: Crawler | CrawlerTask) -> Mapping[str, Any]:
    """`{params, credential}`, as far as they may be sent to the external's endpoint."""
    return {} if have_moved(row) else row.secrets


def places_to_give_again(row: Crawler | CrawlerTask, given: Mapping[str, Any]) -> list[ErrorEntry]:
    """The places of secrets that may not be sent to the endpoint. `given`, `{params?, credential?}`, are left out."""
    if not have_moved(row):
        return []
    lost = row.secrets.get("params", {}).keys() - dict(given.get("params") or {}).keys()
    pointers = [f"/params/{escape_pointer(name)}" for name in sorted(lost)]
    if row.secrets.get("credential") and "credential" not in given:
        pointers.append("/credential")
    return [{"pointer": pointer, "detail": MOVED} for pointer in pointers]


def check_usable(row: Crawler | CrawlerTask, given: Mapping[str, Any]) -> None:
    """Raises `Conflict` with the places of secrets that are to be given again."""
    if places := places_to_give_again(row, given):
        words = "The external's endpoint has moved to another origin: the crawler's secrets are to be given again."
        raise Conflict(words, errors=places)


def all_params(row: Crawler | CrawlerTask) -> dict[str, Any]:
    """All parameters, the secret ones included, as far as they may be sent to the endpoint."""
    return {**row.params, **usable_secrets(row).get("params", {})}


def params_to_change(crawler: Crawler) -> dict[str, Any]:
    """All parameters as a change finds them: secret ones are stars, which stand for what is stored."""
    return {**crawler.params, **dict.fromkeys(crawler.secrets.get("params", {}), MASK)}


def unmask(values: Mapping[str, Any], present: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Secret values were shown as stars; those that are sent back as stars stay as they are.

    Raises `Rejected` for stars that stand for nothing, or for what may not be sent where it would be now.
    """
    lost = [name for name, value in values.items() if value == MASK and name not in present]
    if lost:
        raise rejected([{"pointer": f"{at}/{escape_pointer(name)}", "detail": MOVED} for name in lost])
    return {name: present[name] if value == MASK else value for name, value in values.items()}


def secret_defaults(parameters: Iterable[Any]) -> dict[str, Any]:
    """The defaults of an external's secret parameters, by the parameters' names."""
    found: dict[str, Any] = {}
    replace_secret_defaults(parameters, lambda index, name, default: found.setdefault(name, default))
    return found


def unmask_defaults(parameters: Iterable[Any], present: Mapping[str, Any]) -> list[Any]:
    """Descriptions whose secret defaults, where they were sent back as stars, are the present ones; see `unmask`."""
    lost = list[int]()

    def given(index: int, name: str, default: Any) -> Any:
        if default == MASK and name not in present:
            lost.append(index)
        return present.get(name) if default == MASK else default

    descriptions = replace_secret_defaults(parameters, given)
    if lost:
        raise rejected([{"pointer": f"/parameters/{index}/default", "detail": MOVED} for index in lost])
    return descriptions
