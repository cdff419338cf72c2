"""From JSON to a payload: checked completely before anything is fetched, and later loaded as it was stored. Pure.

A payload is stored as it was sent. All that is wrong with it is raised together, each fault with its place.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from extraction.domain.pages_payload import PagesPayload
from extraction.domain.payload import Payload
from extraction.domain.render_job import HTML
from extraction.domain.search_engines import SearchEngine
from extraction.domain.search_payload import ENGINE, SearchPayload
from extraction.domain.single_page_payload import PRODUCT, SINGLE_PAGE_PAYLOADS, SinglePagePayload
from taskhub.jsontools.json_models import STORED, JsonModel, payload_rejected

Engines = Mapping[str, SearchEngine]
P = TypeVar("P", bound=JsonModel)


def parse_payload(value: Any, at: str = "", *, engines: Engines, single: bool = False, stored: bool = False) -> Payload:
    """The payload of a task, which may be a search, or of one page. What is `stored` was checked before.

    Raises `Rejected` with every fault's place, under `at`.
    """
    if single:
        return parse_single(value, stored=stored)
    if isinstance(value, Mapping) and ENGINE in value:
        return parse_search(value, engines, at, stored=stored)
    return parse_pages(value, at, stored=stored)


def parse_pages(value: Any, at: str = "", *, stored: bool = False) -> PagesPayload:
    return _validated(PagesPayload, value, at, STORED if stored else {})


def parse_search(value: Any, engines: Engines, at: str = "", *, stored: bool = False) -> SearchPayload:
    return _validated(SearchPayload, value, at, {"engines": engines, **(STORED if stored else {})})


def parse_single(value: Mapping[str, Any], *, stored: bool = False) -> SinglePagePayload:
    """Of the product that `value` names itself, as it is stored."""
    model = SINGLE_PAGE_PAYLOADS[str(value.get(PRODUCT, HTML))]
    return _validated(model, value, "", STORED if stored else {})


def _validated(model: type[P], value: Any, at: str, context: Mapping[str, Any]) -> P:
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        raise payload_rejected(error, value, at=at) from None
