"""Addresses that a payload names: of its page, and of a proxy. Pure."""

import re
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from extraction.domain.address_ranges import ADDRESSES_MAX, count_addresses, expand_address, has_ranges
from extraction.domain.page_addresses import fetchable_address
from taskhub.jsontools.json_models import CONTROL, REQUIRED_WORDS, TEXT_MAX, Steps, Text, is_stored
from taskhub.jsontools.schema import FAULTS_MAX, invalid_places, invalid_value

PROXIES_MAX = 1_000
NO_ADDRESS = "Must be an http or https address."
NO_PROXY = "Must be an http or https address, or one of a SOCKS proxy: socks5 or socks5h."
NO_LOGIN = "A SOCKS proxy takes a user name with a password, each of up to 255 ASCII characters."
_SOCKS = re.compile(r"socks5h?://[^/?#\\\s]+/?", re.IGNORECASE)
_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{2,4})?/[A-Za-z0-9_.~/?&=+-]*", re.ASCII)  # is asked for as it is
_MENDED = re.compile(r"[\s\\]")  # browsers read a backslash as a slash, others as a part of the name
_COUNTRY = re.compile(r"country-[a-z0-9-]{1,20}", re.IGNORECASE)


def is_plain(address: str) -> bool:
    """Whether an address is asked for as it is written."""
    return _PLAIN.fullmatch(address) is not None


def origin_of(address: str) -> str:
    """The scheme and the authority of an address, as they are written."""
    return "/".join(address.strip().split("/", 3)[:3])


def is_country(proxy: str) -> bool:
    """Whether a proxy is a country, such as `country-any`, for which the extraction cloud has proxies of its own."""
    return _COUNTRY.fullmatch(proxy) is not None


def _fetchable(value: str) -> str:
    """Checks a required address; it is stored as it is asked for where it is rendered."""
    if not value:
        raise invalid_value(REQUIRED_WORDS)
    if (url := fetchable_address(value.strip(), rendered=True)) is None:
        raise invalid_value(NO_ADDRESS)
    return url


def _optionally_fetchable(value: str) -> str:
    """Checks an address that may be empty; it is stored as it was written, so nothing in it may need to be mended."""
    text = value.strip()
    if text and (_MENDED.search(text) or fetchable_address(text) is None):
        raise invalid_value(NO_ADDRESS)
    return text


def _proxy(value: str) -> str:
    """Checks the address of a proxy, which may lack its scheme; or a country."""
    text = value.strip()
    if not text or is_country(text):
        return text
    text = text if "://" in text else f"http://{text}"
    if _SOCKS.fullmatch(text):
        return _socks_proxy(text)
    if _MENDED.search(text) or fetchable_address(text) is None:
        raise invalid_value(NO_PROXY)
    return text


def _socks_proxy(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise invalid_value(NO_PROXY)
    login = [unquote(part) for part in (parts.username, parts.password) if part is not None]
    if login and (len(login) == 1 or not all(part.isascii() and 0 < len(part) < 256 for part in login)):
        raise invalid_value(NO_LOGIN)
    return text


def _first_fetchable(value: str) -> str:
    """Checks an address that may be empty, or stand for many; then it is stored as it was written."""
    text = value.strip()
    if not text or not has_ranges(text):
        return _fetchable(text) if text else ""
    if count_addresses(text) > ADDRESSES_MAX:
        raise invalid_value(f"Must stand for at most {ADDRESSES_MAX} addresses.")
    _fetchable(next(expand_address(text)))
    return text


def _read_addresses(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Reads a list of addresses, each of which may stand for many."""
    if is_stored(info):
        return tuple(value)
    if not isinstance(value, list) or len(value) > ADDRESSES_MAX:
        raise invalid_value(f"Must be a list of at most {ADDRESSES_MAX} addresses.")
    faults: list[tuple[Steps, str]] = []
    count = 0
    for place, text in enumerate(value):
        if not isinstance(text, str) or len(text) > TEXT_MAX:
            faults.append(((place,), "Must be a text."))
        elif has_ranges(text):
            count += count_addresses(text)
            if fetchable_address(next(expand_address(text.strip()))) is None:
                faults.append(((place,), NO_ADDRESS))
        elif not is_plain(text) and fetchable_address(text.strip()) is None:
            faults.append(((place,), NO_ADDRESS))
        if len(faults) == FAULTS_MAX:
            break
    if count + len(value) > ADDRESSES_MAX:
        faults.append(((), f"Must stand for at most {ADDRESSES_MAX} addresses."))
    if faults:
        raise invalid_places(faults)
    return tuple(value)


RangedAddress = Annotated[Text, AfterValidator(_first_fetchable)]
AddressList = Annotated[tuple[str, ...], BeforeValidator(_read_addresses)]
Address = Annotated[Text, AfterValidator(_fetchable)]
OptionalAddress = Annotated[Text, AfterValidator(_optionally_fetchable)]


def _read_proxies(value: Any) -> tuple[str, ...]:
    """Reads the address of a proxy, or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > PROXIES_MAX:
        raise invalid_value(f"Must be an address, or a list of at most {PROXIES_MAX} addresses.")
    faults: list[tuple[Steps, str]] = []
    proxies: list[str] = []
    for place, text in enumerate(texts):
        try:
            proxies.append(_proxy(_text(text)))
        except PydanticCustomError as error:
            faults.append(((place,) if isinstance(value, list) else (), error.message()))
    if faults:
        raise invalid_places(faults)
    return tuple(proxies)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise invalid_value("Must be a text.")
    if CONTROL.search(value):
        raise invalid_value("Must have no control characters.")
    return value


Proxies = Annotated[tuple[str, ...], BeforeValidator(_read_proxies)]
