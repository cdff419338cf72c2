"""The bare script: aiohttp and selectolax, nothing else. `script.py list|details|next <site> <file>`."""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urljoin

import aiohttp
from selectolax.lexbor import LexborHTMLParser

from tests.benchmarks.peers.memory import peak_mib

AT_ONCE = 16


def read_list(html: bytes, url: str) -> list[dict[str, Any]]:
    found = []
    block: Any
    for block in LexborHTMLParser(html).css(".item"):
        link = block.css_first("h2 a")
        found.append(
            {
                "title": link.text(),
                "url": urljoin(url, link.attributes["href"]),
                "price": block.css_first(".price").text(),
                "text": block.css_first(".text").text(),
                "stock": block.css_first(".stock").text(),
            }
        )
    return found


def read_detail(html: bytes) -> dict[str, Any]:
    page: Any = LexborHTMLParser(html)
    return {
        name: page.css_first(selector).text()
        for name, selector in (("title", "h1"), ("price", ".price"), ("text", ".text"))
    }


async def main(what: str, site: str, path: str) -> None:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    with open(path, "w") as file:
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get(url: str) -> bytes:
                async with session.get(url) as response:
                    return await response.read()

            async def one(link: str) -> None:
                html = await get(link)
                records = read_list(html, link)
                if what == "details":
                    page: Any = LexborHTMLParser(html)
                    more = page.css_first("a.more").attributes["href"]
                    detail = read_detail(await get(urljoin(link, more)))
                    for record in records:
                        record["detail"] = detail
                for record in records:
                    file.write(json.dumps(record) + "\n")

            if what == "next":
                url: str | None = f"{site}/chain/0"
                while url:
                    html = await get(url)
                    for record in read_list(html, url):
                        file.write(json.dumps(record) + "\n")
                    onward = LexborHTMLParser(html).css_first("a.next")
                    url = urljoin(url, onward.attributes["href"]) if onward else None
                return
            index = LexborHTMLParser(await get(f"{site}/{'behind' if what == 'details' else ''}"))
            queue = [urljoin(site, one.attributes["href"]) for one in index.css(".list a")]

            async def serve() -> None:
                while queue:
                    await one(queue.pop())

            await asyncio.gather(*(serve() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    began = time.perf_counter()
    asyncio.run(main(*sys.argv[1:4]))
    print(time.perf_counter() - began, peak_mib())
