"""A site that answers at once: an index, a thousand list pages of twenty items, their details, and a chain.

`python -m tests.benchmarks.pages` prints its address. Every page is made before the first is asked for.
"""

import asyncio

LISTS, ITEMS = 1_000, 20
MADE = 24  # pages that a script makes
LATE_SECONDS = 0.05
SCRIPT = "<script>m.innerHTML = '<h1>Made ' + location.pathname + '</h1>'</script>"
FILLER = "".join(f'<li><a href="/menu/{n}">Menu entry {n}</a></li>' for n in range(40))


def page(body: str) -> bytes:
    text = (
        f'<!doctype html><html><head><meta charset="utf-8"><title>Shop</title></head><body><nav><ul>{FILLER}</ul></nav>'
        f"<main>{body}</main><footer>{'words ' * 100}</footer></body></html>"
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def items(number: int) -> str:
    return "".join(
        f'<div class="item"><h2><a href="/item/{number * ITEMS + n}">Product {number * ITEMS + n}</a></h2>'
        f'<p class="price">{n}.99 EUR</p><p class="text">{"words " * 10}</p><span class="stock">{n} left</span></div>'
        for n in range(ITEMS)
    )


def links(folder: str) -> str:
    return "".join(f'<p class="list"><a href="/{folder}/{n}">{n}</a></p>' for n in range(LISTS))


def site() -> dict[bytes, bytes]:
    pages = {"/": page(links("list")), "/behind": page(links("both")), "/slow": page(links("late"))}
    pages["/made"] = page("".join(f'<p class="list"><a href="/made/{n}">{n}</a></p>' for n in range(MADE)))
    pages |= {f"/made/{n}": page(f"<div id=m></div>{SCRIPT}") for n in range(MADE)}
    for n in range(LISTS):
        onward = f'<a class="next" href="/chain/{n + 1}">next</a>' if n + 1 < LISTS else ""
        pages[f"/list/{n}"] = page(items(n))
        pages[f"/both/{n}"] = page(f'{items(n)}<a class="more" href="/detail/{n}">details</a>')
        pages[f"/detail/{n}"] = page(
            f"<h1>Detail {n}</h1><p class='price'>{n}.50 EUR</p><p class='text'>{'long ' * 50}</p>"
        )
        pages[f"/chain/{n}"] = page(items(n) + onward)
    return {path.encode(): answer for path, answer in pages.items()}


class Site(asyncio.Protocol):
    pages = site()
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/late/"):
                path = path.replace(b"/late/", b"/list/")
                asyncio.get_running_loop().call_later(LATE_SECONDS, self.answer, path)
            else:
                self.answer(path)

    def answer(self, path: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.pages.get(path, self.missing))  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Site, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
