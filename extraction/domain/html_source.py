"""A page as HTML: read by lexbor, and by lxml, too, where selectors are XPath. Pure."""

from functools import cached_property
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.element_places import ElementPlaces
from extraction.domain.page_addresses import absolute_address, fetchable_address
from extraction.domain.page_sources import ValueNode, xpath_text
from extraction.domain.selectors import compile_xpath, is_relative, needs_lxml
from extraction.domain.visible_text import TEXT_NODE, lines_of, text_of
from taskhub.table_cells import replace_controls


class HtmlSource:
    """A page of HTML whose selectors are CSS as lexbor reads it."""

    def __init__(self, html: str | bytes) -> None:
        self.page = LexborHTMLParser(html)
        tags = html.count("<") if isinstance(html, str) else html.count(b"<")
        self._element_places = ElementPlaces(self.page, tags)

    @property
    def root(self) -> LexborNode | None:
        return self.page.root

    @property
    def language(self) -> str:
        element = self.page.css_first("html[lang]")
        return ((element.attributes.get("lang") if element else "") or "").strip()

    def base_address(self, url: str) -> str:
        """Its `<base>`, where that is an address of the web, or else its own address."""
        element = self.page.css_first("base[href]")
        if element is None:
            return url
        address = absolute_address(url, element.attributes.get("href") or "")
        return address if fetchable_address(address) else url

    def select(self, selector: str) -> list[Any]:
        return list(self._element_places.find(selector))

    def select_within(self, selector: str, block: Any) -> list[Any]:
        return list(block.css(selector))

    @staticmethod
    def is_relative(selector: str) -> bool:
        return False

    text = staticmethod(text_of)
    lines = staticmethod(lines_of)
    value = staticmethod(text_of)

    @staticmethod
    def html(node: Any, *, outer: bool) -> str | None:
        html: str | None = node.html if outer else node.inner_html
        return html

    def markup(self, node: Any) -> str | None:
        return self.html(node, outer=True)

    @staticmethod
    def attribute(node: Any, name: str) -> str | None:
        attributes = node.attributes
        if name not in attributes:  # within SVG, names of attributes have capitals
            name = next((other for other in attributes if other.lower() == name), "")
            if not name:
                return None
        return attributes[name] or ""

    def hrefs(self) -> list[str]:
        return [node.attributes["href"] or "" for node in self.page.css("a[href], area[href]")]

    @staticmethod
    def link(node: Any) -> str | None:
        """Its own address, or that of the first link in it."""
        anchor = node if "href" in node.attributes else node.css_first("a[href]")
        return (anchor.attributes["href"] or "") if anchor is not None else None


class MirroredHtmlSource(HtmlSource):
    """The same, whose selectors may be XPath, too, or CSS with `:contains`.

    lxml gets a tree of the same elements, so selectors of either language find them in the page as browsers have it.
    """

    def select(self, selector: str) -> list[Any]:
        return self._evaluate(selector, self._mirror.tree) if needs_lxml(selector) else super().select(selector)

    def select_within(self, selector: str, block: Any) -> list[Any]:
        return self._evaluate(selector, self._mirror.elements.get(block.mem_id))

    @staticmethod
    def is_relative(selector: str) -> bool:
        return is_relative(selector)

    @cached_property
    def _mirror(self) -> "_Mirror":
        return _Mirror(self.page.root)

    def _evaluate(self, selector: str, context: Any) -> list[Any]:
        return [] if context is None else self._mirror.nodes_of(compile_xpath(selector)(context), context)

    @staticmethod
    def text(node: Any) -> str:
        return node.value if isinstance(node, ValueNode) else text_of(node)

    value = text

    @staticmethod
    def lines(node: Any) -> str:
        return node.value if isinstance(node, ValueNode) else lines_of(node)

    @staticmethod
    def html(node: Any, *, outer: bool) -> str | None:
        return node.value if isinstance(node, ValueNode) else HtmlSource.html(node, outer=outer)

    @staticmethod
    def attribute(node: Any, name: str) -> str | None:
        return node.value if isinstance(node, ValueNode) else HtmlSource.attribute(node, name)

    @staticmethod
    def link(node: Any) -> str | None:
        return node.value if isinstance(node, ValueNode) else HtmlSource.link(node)


class _Mirror:
    """The elements of a page as lxml has them, each with the one that it is made of."""

    def __init__(self, root: LexborNode | None) -> None:
        from lxml import etree

        self._make = etree.HTMLParser().makeelement
        self.elements: dict[int, Any] = {}
        self._nodes: dict[Any, LexborNode] = {}
        self.tree = self._copy(root) if root is not None else None

    def nodes_of(self, found: Any, context: Any) -> list[Any]:
        """What XPath found: elements, texts in elements, or one value."""
        if isinstance(found, list):
            return [self._text_node(one) if isinstance(one, str) else self._nodes[one] for one in found]
        text = xpath_text(found)
        return [ValueNode(text, self._nodes[context])] if text else []

    def _text_node(self, text: Any) -> ValueNode:
        element = text.getparent()
        return ValueNode(str(text), self._nodes[element.getparent() if text.is_tail else element])

    def _copy(self, root: LexborNode) -> Any:
        """The tree of a page's elements and texts, without its comments."""
        outer: Any = None  # the element around
        before: Any = None  # the one before, in the same one
        node: Any = root
        while True:
            if node.tag == TEXT_NODE:
                text = replace_controls(node.text_content or "")[0]
                if before is None:
                    outer.text = (outer.text or "") + text
                else:
                    before.tail = (before.tail or "") + text
            elif node.tag[0] not in "-!":
                element = self._copy_element(node)
                if outer is not None:
                    outer.append(element)
                before = element
                if node.child is not None:
                    node, outer, before = node.child, element, None
                    continue
            while node.next is None or node.mem_id == root.mem_id:
                if node.mem_id == root.mem_id:
                    return before
                node, before, outer = node.parent, outer, outer.getparent()
            node = node.next

    def _copy_element(self, node: LexborNode) -> Any:
        """An element; what lxml takes for no name is left out."""
        try:
            element = self._make(node.tag)
        except ValueError:
            element = self._make("unknown")
        for name, value in node.attributes.items():
            try:
                element.set(name, replace_controls(value or "")[0])
            except ValueError:
                continue
        self.elements[node.mem_id] = element
        self._nodes[element] = node
        return element
