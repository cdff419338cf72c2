"""Scrapy, set up for the same work: `with_scrapy list|details <site> <file>`. Prints seconds and MiB."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess

from tests.benchmarks.peers.memory import peak_mib


class Shop(scrapy.Spider):
    name = "shop"

    def __init__(self, what: str, site: str) -> None:
        super().__init__()
        self.what, self.start_urls = what, [f"{site}/{'behind' if what == 'details' else ''}"]

    def parse(self, response: Any) -> Iterator[Any]:
        yield from response.follow_all(response.css(".list a"), self.parse_list)

    def parse_list(self, response: Any) -> Iterator[Any]:
        records = [
            {
                "title": block.css("h2 a::text").get(),
                "url": response.urljoin(block.css("h2 a::attr(href)").get()),
                "price": block.css(".price::text").get(),
                "text": block.css(".text::text").get(),
                "stock": block.css(".stock::text").get(),
            }
            for block in response.css(".item")
        ]
        if self.what == "details":
            more = response.css("a.more")[0]
            yield response.follow(more, self.parse_detail, cb_kwargs={"records": records})
        else:
            yield from records

    def parse_detail(self, response: Any, records: list[dict[str, Any]]) -> Iterator[Any]:
        detail = {name: response.css(f"{at}::text").get() for name, at in (("title", "h1"), ("price", ".price"))}
        for record in records:
            yield {**record, "detail": detail}


def main(what: str, site: str, path: str) -> None:
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": 16,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
            "DOWNLOAD_DELAY": 0,
            "FEEDS": {path: {"format": "jsonlines", "overwrite": True}},
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
        }
    )
    process.crawl(Shop, what=what, site=site)
    began = time.perf_counter()
    process.start()
    print(time.perf_counter() - began, peak_mib())


if __name__ == "__main__":
    main(*sys.argv[1:4])
