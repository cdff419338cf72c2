"""A page as XML, such as a feed or a sitemap: read by lxml, as far as it is broken, too. Pure."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from html.entities import html5
from typing import Any

from extraction.domain.page_sources import ValueNode, xpath_text
from extraction.domain.process_status import PageFailure
from extraction.domain.selectors import compile_xpath, is_relative
from taskhub.table_cells import replace_controls

_ENTITY = re.compile(r"&((?!(?:amp|lt|gt|quot|apos);)[A-Za-z][A-Za-z0-9]*;)")
_DECLARATION = re.compile(r"<\?xml[^>]*\?>")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class XmlNode:
    """An element, with the names that nodes of HTML have."""

    def __init__(self, element: Any, source: "XmlSource") -> None:
        self.element, self._source = element, source

    @property
    def mem_id(self) -> int:
        return id(self)

    @cached_property
    def tag(self) -> str:
        return self._source.name_of(self.element.tag)

    @cached_property
    def attributes(self) -> Mapping[str, str | None]:
        return {self._source.name_of(name): value for name, value in self.element.attrib.items()}

    @property
    def parent(self) -> "XmlNode | None":
        return self._source.node_of(self.element.getparent())

    @property
    def next(self) -> "XmlNode | None":
        return self._source.node_of(next(self.element.itersiblings("*"), None))

    def children(self) -> Iterator["XmlNode"]:
        for element in self.element.iterchildren("*"):
            yield self._source.node_of(element)  # type: ignore[misc]  # none of them is None

    def traverse(self) -> Iterator["XmlNode"]:
        for element in self.element.iter("*"):
            yield self._source.node_of(element)  # type: ignore[misc]  # none of them is None


class XmlSource:
    """A page of XML. Selectors are CSS or XPath, in which elements of the default namespace have plain names.

    Prefixes are those that the page declares, in CSS with a bar: `media|content`.
    """

    def __init__(self, text: str) -> None:
        from lxml import etree

        # Entities that a page declares itself are left alone: they may be made to grow without an end.
        parser = etree.XMLParser(
            recover=True, resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
        )
        # The text is decoded, so what it says of its encoding no longer holds.
        text = _DECLARATION.sub("", replace_controls(text)[0].strip(), count=1)
        if "<!ENTITY" not in text:  # names of HTML stand in many feeds
            text = _ENTITY.sub(lambda entity: html5.get(entity[1], entity[0]), text)
        tree = etree.fromstring(text, parser) if text else None
        if tree is None:
            raise PageFailure("It is no XML.")
        self._tostring = etree.tostring
        self._nodes: dict[Any, XmlNode] = {}
        self._prefixes: dict[str, str] = {}
        for element in tree.iter("*"):
            self._prefixes |= {uri: prefix for prefix, uri in element.nsmap.items() if prefix}
            if element.prefix is None and element.tag[0] == "{":
                element.tag = element.tag.rpartition("}")[2]
        self._tree = tree
        self._namespaces = tuple((prefix, uri) for uri, prefix in self._prefixes.items())
        self.root: Any = self.node_of(tree)

    def name_of(self, name: str) -> str:
        """The name of an element or an attribute, with the prefix that the page has for its namespace."""
        if name[:1] != "{":
            return name
        uri, _, local = name[1:].rpartition("}")
        prefix = "xml" if name == _XML_LANG else self._prefixes.get(uri)
        return f"{prefix}:{local}" if prefix else local

    def node_of(self, element: Any) -> XmlNode | None:
        if element is None:
            return None
        node = self._nodes.get(element)
        if node is None:
            node = self._nodes[element] = XmlNode(element, self)
        return node

    @property
    def language(self) -> str:
        languages = (self._tree.get(_XML_LANG), self._tree.findtext("channel/language"))
        return next((text.strip() for text in languages if text), "")

    def base_address(self, url: str) -> str:
        return url

    def select(self, selector: str) -> list[Any]:
        return self._evaluate(selector, self._tree)

    def select_within(self, selector: str, block: Any) -> list[Any]:
        return self._evaluate(selector, block.element) if isinstance(block, XmlNode) else []

    @staticmethod
    def is_relative(selector: str) -> bool:
        return is_relative(selector)

    def _evaluate(self, selector: str, context: Any) -> list[Any]:
        from lxml import etree

        try:
            found = compile_xpath(selector, self._namespaces, xml=True)(context)
        except (ValueError, etree.XPathError):  # a prefix that this page does not declare
            return []
        if not isinstance(found, list):
            text = xpath_text(found)
            return [ValueNode(text, self.node_of(context))] if text else []
        return [self._text_node(one) if isinstance(one, str) else self.node_of(one) for one in found]

    def _text_node(self, text: Any) -> ValueNode:
        element = text.getparent()
        return ValueNode(str(text), self.node_of(element.getparent() if text.is_tail else element))

    @staticmethod
    def text(node: Any) -> str:
        return str(node.value) if isinstance(node, ValueNode) else "".join(node.element.itertext())

    lines = value = text

    def html(self, node: Any, *, outer: bool) -> str | None:
        if isinstance(node, ValueNode):
            return str(node.value)
        element = node.element
        if outer:
            return str(self._tostring(element, encoding="unicode", with_tail=False))
        inner = (self._tostring(child, encoding="unicode") for child in element)
        return (element.text or "") + "".join(inner)

    def markup(self, node: Any) -> str | None:
        return self.html(node, outer=False)

    @staticmethod
    def attribute(node: Any, name: str) -> str | None:
        """An attribute; for `href` of an element without one, as the links of feeds are, its text."""
        if isinstance(node, ValueNode):
            return str(node.value)
        attributes: Mapping[str, str | None] = node.attributes
        found = name if name in attributes else next((other for other in attributes if other.lower() == name), None)
        if found is not None:
            return attributes[found] or ""
        return XmlSource.text(node).strip() or None if name == "href" else None

    def hrefs(self) -> list[str]:
        return [link for node in self.select("link") if (link := self.link(node))]

    @staticmethod
    def link(node: Any) -> str | None:
        return XmlSource.attribute(node, "href")
