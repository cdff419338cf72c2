"""Crawlee and parsel, for the same work: `with_crawlee list|details <site> <file>`. Prints seconds and MiB."""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urljoin

from crawlee import ConcurrencySettings, Request
from crawlee.configuration import Configuration
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.storage_clients import MemoryStorageClient

from tests.benchmarks.peers.memory import peak_mib


def read_list(page: Any, url: str) -> list[dict[str, Any]]:
    return [
        {
            "title": block.css("h2 a::text").get(),
            "url": urljoin(url, block.css("h2 a::attr(href)").get()),
            "price": block.css(".price::text").get(),
            "text": block.css(".text::text").get(),
            "stock": block.css(".stock::text").get(),
        }
        for block in page.css(".item")
    ]


async def main(what: str, site: str, path: str) -> None:
    crawler = ParselCrawler(
        concurrency_settings=ConcurrencySettings(min_concurrency=16, max_concurrency=16, desired_concurrency=16),
        storage_client=MemoryStorageClient(),
        configuration=Configuration(purge_on_start=True),
        configure_logging=False,
        max_request_retries=0,
    )
    with open(path, "w") as file:

        @crawler.router.default_handler
        async def index(context: ParselCrawlingContext) -> None:
            links = [urljoin(site, link) for link in context.selector.css(".list a::attr(href)").getall()]
            await context.add_requests([Request.from_url(link, label="list") for link in links])

        @crawler.router.handler("list")
        async def a_list(context: ParselCrawlingContext) -> None:
            records = read_list(context.selector, context.request.url)
            if what == "details":
                more = urljoin(site, context.selector.css("a.more::attr(href)").get() or "")
                await context.add_requests([Request.from_url(more, label="detail", user_data={"records": records})])
            else:
                file.writelines(f"{json.dumps(record)}\n" for record in records)

        @crawler.router.handler("detail")
        async def detail(context: ParselCrawlingContext) -> None:
            found = {
                name: context.selector.css(f"{at}::text").get() for name, at in (("title", "h1"), ("price", ".price"))
            }
            for record in context.request.user_data["records"]:  # type: ignore[union-attr]
                file.write(json.dumps({**record, "detail": found}) + "\n")  # type: ignore[dict-item]

        began = time.perf_counter()
        await crawler.run([f"{site}/{'behind' if what == 'details' else ''}"])
        print(time.perf_counter() - began, peak_mib())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
