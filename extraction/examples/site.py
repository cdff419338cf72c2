"""A small web shop to try extraction on: a process of its own, and nothing but Python.

`python -m extraction.examples.site --port 9001` serves `http://127.0.0.1:9001/`: 24 books on three pages, a page for
each, their covers, a table of authors, news, also as a feed, sales as a table, books as JSON, a search by POST, a
sitemap, what is for members alone, a reading room that needs a browser, and a `robots.txt`.
"""

import json
import re
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, urlsplit
from zlib import compress, crc32

from taskhub.example_server import ExampleHandler, serve

BOOKS = 24
A_PAGE = 8
COVER = re.compile(r"/covers/(\d{1,2})\.png", re.ASCII)
AUTHORS = ("Ada Lind", "Bo Åkesson", "Cyprian Żak")
NEWS = (
    ("A new shelf", "2026-01-12", "Three hundred books on gardens have come."),
    ("Longer hours", "2026-01-05", "From now on we are open until eight."),
)


def document(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def author_of(number: int) -> str:
    return AUTHORS[number % len(AUTHORS)]


def price_of(number: int) -> str:
    return f"{5 + number * 1.25:.2f} EUR"


def books(page: int) -> str:
    """A list page; the last has no next one."""
    first = (page - 1) * A_PAGE
    items = "".join(
        f'<article class="book"><img src="/covers/{n}.png" alt="Cover {n}"><h2><a href="/book/{n}">Book {n}</a></h2>'
        f'<p class="author"> {escape(author_of(n))} </p><p class="price">Price: {price_of(n)}</p>'
        f'<ul><li class="tag">tag {n % 3}</li><li class="tag">tag {n % 5}</li></ul></article>'
        for n in range(first + 1, min(first + A_PAGE, BOOKS) + 1)
    )
    onward = f'<a class="next" href="/?page={page + 1}">next</a>' if first + A_PAGE < BOOKS else ""
    return document(f"Books, page {page}", f"<main>{items}</main><nav>{onward}</nav>")


def book(number: int) -> str:
    """The page of a book, which says some of it for machines, too."""
    offer = {"@type": "Offer", "price": f"{5 + number * 1.25:.2f}", "priceCurrency": "EUR"}
    linked = {"@context": "https://schema.org", "@type": "Book", "name": f"Book {number}", "offers": offer}
    return document(
        f"Book {number}",
        f'<dl><dt>ISBN</dt><dd class="isbn">978-0-00-{number:06d}-{number % 10}</dd><dt>Pages</dt>'
        f'<dd class="pages">{100 + number}</dd></dl><p class="blurb">A book about the number {number}.</p>'
        f'<script type="application/ld+json">{json.dumps(linked)}</script>'
        f"<script>window.__STATE__ = {{stock: {number % 4}, shelf: 'S{number % 7}',}};</script>",
    )


SALES = (
    ("Atlas of clouds", "1.299,00 €", "12 January 2026", "yes"),
    ("Small gardens", "9 900,50 zł", "3 Feb 2026, 9:30", "no"),
    ("Night trains", "ask us", "2026-03-01", "yes"),
)


def sales() -> str:
    """A table with two rows a sale."""
    rows = "".join(
        f'<tr class="sale"><td>{n}.</td><td class="title">{title}</td></tr><tr><td></td><td><b>{price}</b> since '
        f"<i>{day}</i>, in stock: <u>{stock}</u></td></tr>"
        for n, (title, price, day, stock) in enumerate(SALES, 1)
    )
    return document("Sales", f'<p class="shop">Books & more</p><table>{rows}</table>')


def feed() -> str:
    items = "".join(
        f"<item><title>{title}</title><link>http://127.0.0.1:9001/news#{day}</link><dc:date>{day}</dc:date></item>"
        for title, day, _ in NEWS
    )
    return (
        '<?xml version="1.0"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>'
        f"<title>News</title>{items}</channel></rss>"
    )


def books_as_json(page: int) -> str:
    """A page of an API: its books, and where the next page is."""
    first = (page - 1) * A_PAGE
    items = [
        {"id": n, "title": f"Book {n}", "price": {"amount": 5 + n * 1.25, "currency": "EUR"}, "tags": [f"tag {n % 3}"]}
        for n in range(first + 1, min(first + A_PAGE, BOOKS) + 1)
    ]
    onward = f"/api/books?page={page + 1}" if first + A_PAGE < BOOKS else None
    return json.dumps({"books": items, "next": onward})


def authors() -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{sum(author_of(n) == name for n in range(1, BOOKS + 1))}</td></tr>"
        for name in AUTHORS
    )
    return document(
        "Authors", f"<table><thead><tr><th>Name</th><th>Books</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def news() -> str:
    items = "".join(
        f'<div class="item"><h3>{title}</h3><time datetime="{day}">{day}</time><p>{text}</p></div>'
        for title, day, text in NEWS
    )
    return document("News", items)


def search(words: list[str]) -> str:
    """The sales whose titles have one of some words."""
    found = [
        {"title": title, "price": price} for title, price, *_ in SALES if any(word in title.lower() for word in words)
    ]
    return json.dumps({"found": found})


def sign_in() -> str:
    return document(
        "Sign in",
        '<form method="post" action="/session"><input type="hidden" name="token" value="books"><input name="user">'
        '<input type="password" name="password"></form>',
    )


def members() -> str:
    return document("Members", "".join(f'<p class="offer">Book {n} for members</p>' for n in (3, 5, 8)))


def cover(number: int) -> bytes:
    """The cover of a book: a PNG of one pixel, in a grey of its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + crc32(kind + data).to_bytes(4, "big")

    size = (1).to_bytes(4, "big") * 2
    parts = ((b"IHDR", size + bytes([8, 0, 0, 0, 0])), (b"IDAT", compress(bytes([0, number]))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


ROOM = """<label>Floor <select id="floor"><option value="1">First floor<option value="2">Second floor</select></label>
<input id="seat" placeholder="A seat, and Enter"><ul id="seats"></ul><button id="more">Rules</button><p id="rules"></p>
<iframe id="desk" src="/desk"></iframe><room-hours></room-hours>
<div id="shelf" style="height: 200px; overflow-y: auto; position: relative"><div style="height: 2400px"></div></div>
<script>
seat.onkeydown = event => {
    if (event.key === "Enter")
        seats.insertAdjacentHTML("beforeend", `<li>${seat.value}, ${floor.selectedOptions[0].label}</li>`);
};
more.onmouseenter = () => { rules.textContent = "Silence, please." };
customElements.define("room-hours", class extends HTMLElement {
    connectedCallback() {
        this.attachShadow({mode: "open"}).innerHTML =
            "<p class=hours>Mon to Fri, 9 to 17</p><p class=hours>Sat, 9 to 12</p>";
    }
});
const rows = [...Array(8)].map(() => shelf.appendChild(document.createElement("div")));
shelf.onscroll = () => rows.forEach((row, place) => {  // 60 volumes in eight elements
    const number = Math.min(Math.floor(shelf.scrollTop / 40) + place, 59);
    row.className = "volume";
    row.style = `position: absolute; height: 40px; top: ${number * 40}px`;
    row.textContent = `Volume ${number + 1}`;
});
shelf.onscroll();
</script>"""


def desk() -> str:
    """What is in the frame of the reading room."""
    return document("Desk", "".join(f'<p class="new">{title}</p>' for title, *_ in SALES))


def sitemap() -> str:
    """The addresses of news and books, as sitemaps.org has them."""
    pages = "".join(f"<url><loc>/book/{n}</loc></url>" for n in range(1, BOOKS + 1))
    return (
        '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        f"<url><loc>/news</loc></url>{pages}</urlset>"
    )


def respond(path: str) -> str | None:
    """The page at a path with its query; None when there is none."""
    parts = urlsplit(path)
    first, _, rest = parts.path.strip("/").partition("/")
    if not first or (first, rest) == ("api", "books"):
        page = parse_qs(parts.query).get("page", ["1"])[0]
        listed = books_as_json if first else books
        return listed(int(page)) if page.isdecimal() and int(page) else None
    if first == "book" and rest.isdecimal() and 1 <= int(rest) <= BOOKS:
        return book(int(rest))
    pages: dict[str, Callable[[], str]] = {
        "authors": authors,
        "news": news,
        "sales": sales,
        "feed.xml": feed,
        "sitemap.xml": sitemap,
        "sign-in": sign_in,
        "reading-room": lambda: document("Reading room", ROOM),
        "desk": desk,
    }
    return pages[first]() if first in pages and not rest else None


KINDS = {"<!": "text/html; charset=utf-8", "<?xml": "application/rss+xml", "{": "application/json"}


class ShopHandler(ExampleHandler):
    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self.answer(200, "text/plain", "User-agent: *\nDisallow: /admin\n")
        elif self.path == "/members" and "member=ada" in (self.headers["Cookie"] or ""):
            self.answer(200, "text/html; charset=utf-8", members())
        elif (match := COVER.fullmatch(self.path)) and 1 <= int(match[1]) <= BOOKS:
            self.answer(200, "image/png", cover(int(match[1])))
        elif (page := respond(self.path)) is not None:
            self.answer(200, next(kind for start, kind in KINDS.items() if page.startswith(start)), page)
        else:
            self.answer(404, "text/html; charset=utf-8", document("Not found", ""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        if self.path == "/session" and parse_qs(body) == {
            "token": ["books"],
            "user": ["ada"],
            "password": ["lovelace"],
        }:
            self.answer(200, "text/html; charset=utf-8", document("Welcome", ""), {"Set-Cookie": "member=ada; Path=/"})
        elif self.path != "/search":
            self.answer(404, "text/html; charset=utf-8", document("Not found", ""))
        elif self.headers["Content-Type"] == "application/json":
            self.answer(200, "application/json", search(json.loads(body)["words"]))
        else:
            self.answer(200, "application/json", search(parse_qs(body).get("words", [])))


if __name__ == "__main__":
    serve(ShopHandler, name="site", description=__doc__, port=9001)
