"""Addresses that a payload names: of its page, and of a proxy. Pure."""

import re
from typing import Annotated

from pydantic import AfterValidator

from extraction.domain.page_addresses import fetchable_address
from taskhub.jsontools.json_models import REQUIRED_WORDS, Text
from taskhub.jsontools.schema import invalid_value

_MENDED = re.compile(r"[\s\\]")  # browsers read a backslash as a slash, others as a part of the name
_COUNTRY = re.compile(r"country-[a-z0-9-]{1,20}", re.IGNORECASE)


def is_country(proxy: str) -> bool:
    """Whether a proxy is a country, such as `country-any`, for which the extraction cloud has proxies of its own."""
    return _COUNTRY.fullmatch(proxy) is not None


def _fetchable(value: str) -> str:
    """Checks a required address; it is stored as it is asked for where it is rendered."""
    if not value:
        raise invalid_value(REQUIRED_WORDS)
    if (url := fetchable_address(value.strip(), rendered=True)) is None:
        raise invalid_value("Must be an http or https address.")
    return url


def _optionally_fetchable(value: str) -> str:
    """Checks an address that may be empty; it is stored as it was written, so nothing in it may need to be mended."""
    text = value.strip()
    if text and (_MENDED.search(text) or fetchable_address(text) is None):
        raise invalid_value("Must be an http or https address.")
    return text


def _proxy(value: str) -> str:
    """Checks the address of a proxy, which may lack its scheme; or a country."""
    text = value.strip()
    return text if is_country(text) else _optionally_fetchable(text if "://" in text or not text else f"http://{text}")


Address = Annotated[Text, AfterValidator(_fetchable)]
OptionalAddress = Annotated[Text, AfterValidator(_optionally_fetchable)]
ProxyAddress = Annotated[Text, AfterValidator(_proxy)]
