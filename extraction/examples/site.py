"""A small web shop to try extraction on: a process of its own, and nothing but Python.

`python -m extraction.examples.site --port 9001` serves `http://127.0.0.1:9001/`: 24 books on three pages, a page for
each, a table of authors, news, and a `robots.txt`.
"""

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, urlsplit

from taskhub.example_server import ExampleHandler, serve

BOOKS = 24
A_PAGE = 8
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
    return document(
        f"Book {number}",
        f'<dl><dt>ISBN</dt><dd class="isbn">978-0-00-{number:06d}-{number % 10}</dd><dt>Pages</dt>'
        f'<dd class="pages">{100 + number}</dd></dl><p class="blurb">A book about the number {number}.</p>',
    )


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


def respond(path: str) -> str | None:
    """The page at a path with its query; None when there is none."""
    parts = urlsplit(path)
    first, _, rest = parts.path.strip("/").partition("/")
    if not first:
        page = parse_qs(parts.query).get("page", ["1"])[0]
        return books(int(page)) if page.isdecimal() and int(page) else None
    if first == "book" and rest.isdecimal() and 1 <= int(rest) <= BOOKS:
        return book(int(rest))
    pages: dict[str, Callable[[], str]] = {"authors": authors, "news": news}
    return pages[first]() if first in pages and not rest else None


class ShopHandler(ExampleHandler):
    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self.answer(200, "text/plain", "User-agent: *\nDisallow: /admin\n")
        elif (page := respond(self.path)) is not None:
            self.answer(200, "text/html; charset=utf-8", page)
        else:
            self.answer(404, "text/html; charset=utf-8", document("Not found", ""))


if __name__ == "__main__":
    serve(ShopHandler, name="site", description=__doc__, port=9001)
