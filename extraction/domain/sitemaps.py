"""Reads sitemaps and indexes of them (sitemaps.org): XML, a feed, or a text with an address a line. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from extraction.domain.page_addresses import absolute_address, fetchable_address
from extraction.domain.process_status import PageFailure
from extraction.domain.xml_source import XmlSource

SITEMAP_RULE = -1  # the number of the rule that sitemaps are read by
ADDRESSES_MAX = 100_000  # of one sitemap; the protocol allows half as many


class Sitemap(NamedTuple):
    """What a sitemap names: other sitemaps, and pages, each as it is asked for."""

    sitemaps: list[str]
    pages: list[str]


def read_sitemap(text: str, url: str) -> Sitemap:
    """Reads a sitemap that came from `url`. Raises `PageFailure` for what is none."""
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith("<"):
        return Sitemap([], _absolute((line.strip() for line in text.splitlines()), url))
    source = XmlSource(text)
    pages = source.select("//*[local-name()='url']/*[local-name()='loc']")
    sitemaps = source.select("//*[local-name()='sitemap']/*[local-name()='loc']")
    links = source.select("//item/link | //entry/link[not(@rel) or @rel='alternate']")
    if not (pages or sitemaps or links) and source.root.tag not in {"urlset", "sitemapindex", "rss", "feed"}:
        raise PageFailure("It is no sitemap.")
    return Sitemap(
        _absolute((source.text(node) for node in sitemaps), url),
        _absolute((source.link(node) or "" for node in [*pages, *links]), url),
    )


def _absolute(written: Iterable[str], url: str) -> list[str]:
    """The addresses on the web among some, each once."""
    found: dict[str, None] = {}
    for address in written:
        if address.strip() and (fetchable := fetchable_address(absolute_address(url, address.strip()))):
            found[fetchable] = None
        if len(found) == ADDRESSES_MAX:
            break
    return list(found)
