"""A single thing of one page: its source, a picture, a document. Checked as payloads are. Pure."""

from collections.abc import Mapping
from typing import Any

from extraction.domain.payload import Payload, Rule
from extraction.domain.render_job import HTML, PDF, SCREENSHOT
from extraction.domain.request_parser import CHROME, REQUEST, RequestReader

PRODUCT = "product"  # under this name a stored payload says what is made
COMMON = frozenset(["url", "proxy", "headers", "cookies", "actions", "waitDelay", "ignoreRobots", "maxCredits"])
NAMES = {
    HTML: COMMON | {"type", "method", "form"},
    SCREENSHOT: COMMON | {"format", "quality", "fullPage", "clipSelector", "width", "height"},
    PDF: COMMON | {"landscape", "printBackground", "paperSize", "scale", "pageRanges", "margin", "width", "height"},
}
PAPERS = ("A0", "A1", "A2", "A3", "A4", "A5", "A6", "Ledger", "Legal", "Letter", "Tabloid")
PICTURES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg"}
SIDES = ("top", "right", "bottom", "left")
WAIT_MAX = 30  # seconds
PIXELS_MAX = 10_000


class SingleReader(RequestReader):
    """Reads what is to be made of a page."""

    def single(self, value: Any, product: str, at: str = "") -> Payload:
        given = self.mapping(value, at, NAMES[product] | {PRODUCT})
        values = {name: given[name] for name in given if name in REQUEST}
        if product != HTML:
            values["type"] = CHROME
        request = self.request_of(values, at)
        chrome = self.kind_of(values, at)
        return Payload(
            name=product,
            request=request,
            rule=Rule(0, (), chrome=chrome),
            format=self.made(given, product, at),
            robots=not self.flag(given, "ignoreRobots", at),
            credits=self.number(given, "maxCredits", at),
            product=product,
            settle=self.fraction(given, "waitDelay", at, 0, WAIT_MAX) or None,
            options=self.options(given, product, at),
            raw=given,
        )

    def made(self, given: Mapping[str, Any], product: str, at: str) -> str:
        if product != SCREENSHOT:
            return product
        name = self.text(given, "format", at).lower() or "png"
        if name not in PICTURES:
            self.fault(f"{at}/format", "Must be png or jpg.")
        return "jpg" if name != "png" else "png"

    def options(self, given: Mapping[str, Any], product: str, at: str) -> dict[str, Any]:
        sides = {name: self.whole(given, name, at, PIXELS_MAX) for name in ("width", "height")}
        found: dict[str, Any] = {name: value for name, value in sides.items() if value}
        if "height" in found and "width" not in found:
            self.fault(f"{at}/width", "Goes with height.")
        if product == SCREENSHOT:
            found |= self.picture(given, at)
        elif product == PDF:
            found |= self.paper(given, at)
        return found

    def picture(self, given: Mapping[str, Any], at: str) -> dict[str, Any]:
        kind = PICTURES.get(self.text(given, "format", at).lower(), "png")
        found: dict[str, Any] = {"type": kind}
        quality = self.whole(given, "quality", at, 100)
        if quality and kind == "png":
            self.fault(f"{at}/quality", "PNG has none.")
        elif quality:
            found["quality"] = quality
        if selector := self.selector(given, "clipSelector", at):
            found["selector"] = selector
        if self.flag(given, "fullPage", at):
            if selector:
                self.fault(f"{at}/fullPage", "Must not be set beside clipSelector.")
            found["full_page"] = True
        return found

    def paper(self, given: Mapping[str, Any], at: str) -> dict[str, Any]:
        name = self.text(given, "paperSize", at) or "A4"
        if name not in PAPERS:
            self.fault(f"{at}/paperSize", f"Must be one of {', '.join(PAPERS)}.")
        found: dict[str, Any] = {
            "format": name,
            "landscape": self.flag(given, "landscape", at),
            "print_background": self.flag(given, "printBackground", at),
        }
        if scale := self.fraction(given, "scale", at, 0.1, 2):
            found["scale"] = scale
        if ranges := self.text(given, "pageRanges", at, 100):
            if not all(part.strip(" 0123456789-") == "" for part in ranges.split(",")):
                self.fault(f"{at}/pageRanges", 'Must be as "1-3, 5".')
            found["page_ranges"] = ranges
        if given.get("margin") is not None:
            found["margin"] = self.margin(given["margin"], f"{at}/margin")
        return found

    def margin(self, value: Any, at: str) -> dict[str, str]:
        """Inches a side."""
        given = self.mapping(value, at, frozenset(SIDES))
        return {side: f"{self.fraction(given, side, at, 0, 10) or 0}in" for side in SIDES}

    def whole(self, given: Mapping[str, Any], name: str, at: str, most: int) -> int | None:
        number = self.number(given, name, at)
        if number and number > most:
            self.fault(f"{at}/{name}", f"Must be at most {most}.")
            return None
        return number

    def fraction(self, given: Mapping[str, Any], name: str, at: str, least: float, most: float) -> float | None:
        value = given.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.fault(f"{at}/{name}", f"Must be a number from {least:g} to {most:g}.")
            return None
        return float(value)


def parse_single(value: Mapping[str, Any]) -> Payload:
    """What a stored payload of a single process means. Raises `Rejected` with every fault's place."""
    reader = SingleReader()
    payload = reader.single(value, str(value.get(PRODUCT, HTML)))
    reader.finish()
    return payload
