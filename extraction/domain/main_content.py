"""The main content of a page as Markdown, without what stands around it on every page of its site. Pure."""

from extraction.domain.field_values import markdown_of
from extraction.domain.page_addresses import BaseAddress

TRAFILATURA = "trafilatura"


def main_markdown(html: str, url: str) -> str:
    """The main content of a page; the whole of it where none is told apart."""
    from trafilatura import extract

    found = extract(
        html,
        url=url,
        output_format="markdown",
        include_comments=False,
        include_formatting=True,
        include_images=True,
        include_links=True,
        include_tables=True,
    )
    return f"{(found or markdown_of(html, BaseAddress(url)) or '').strip()}\n"


def load_main_content() -> None:
    """Loads what finding it needs, which takes as long as reading several pages."""
    main_markdown("<html><body><p>a</p></body></html>", "http://localhost/")
