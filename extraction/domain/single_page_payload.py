"""Payloads that make one file of one page: its source, a picture, a document. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, field_validator, model_validator

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.main_content import TRAFILATURA, main_markdown
from extraction.domain.page_addresses import page_key
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import PageRequest, RequestTarget
from extraction.domain.page_sources import PageContent
from extraction.domain.payload import ProductDefaults, RunTerms
from extraction.domain.render_job import HTML, PDF, SCREENSHOT, WINDOW
from extraction.domain.request_addresses import Address
from extraction.domain.result_formats import MD
from extraction.domain.selectors import Selector
from taskhub.jsontools.json_models import Count, Flag, JsonModel, Text, WholeNumber, number_between
from taskhub.jsontools.schema import invalid_places, invalid_value

PRODUCT = "product"  # under this name a stored payload says what is made
PAPERS = ("A0", "A1", "A2", "A3", "A4", "A5", "A6", "Ledger", "Legal", "Letter", "Tabloid")
SIDES = ("top", "right", "bottom", "left")
PICTURES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg"}
PIXELS_MAX = 10_000
OFFSET_MAX = 1_000_000  # pixels down
PRINT_SCALE_MAX = 2.0  # of Chromium; a larger one also zooms the page
HEADER_MARGIN = 0.4  # inches, for what is printed there

Pixels = Annotated[Count, Field(le=PIXELS_MAX)]
Inches = Annotated[float, number_between(0, 10, "inches")]


class SinglePagePayload(ProductDefaults, RunTerms, RequestTarget):
    """A payload that is its own request, of one page without a list."""

    REQUEST_PLACE: ClassVar = ""
    TYPE_PLACE: ClassVar = "/type"

    product: str = HTML
    sent_url: Address = Field(validation_alias=AliasChoices("url", "remoteURL"))

    @property
    def name(self) -> str:
        return self.product

    @property
    def format(self) -> str:
        return self.product

    @property
    def settle(self) -> float | None:
        return self.wait_delay or None

    @property
    def first_request(self) -> RequestTarget:
        return self

    @property
    def needs_chrome(self) -> bool:
        return True

    @cached_property
    def rule(self) -> ExtractionRule:
        return ExtractionRule.fixed((), rendered=self.needs_chrome)

    @property
    def main(self) -> bytes:
        return page_key(0, self.address)

    def first_addresses(self) -> Sequence[str]:
        return self.addresses

    def lists(self) -> Sequence[bytes]:
        return [self.main]

    def pages_at_most(self, limit: int) -> int:
        return 1

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        return iter(())

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        return PageReading()


class SourcePayload(SinglePagePayload, PageRequest):
    """The page's source, as it comes or rendered; or its main content as Markdown."""

    markdown: Flag = False

    @property
    def format(self) -> str:
        return MD if self.markdown else self.product

    @property
    def is_read(self) -> bool:
        return self.markdown

    @property
    def libraries(self) -> Collection[str]:
        return (TRAFILATURA,) if self.markdown else ()

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        return PageReading(product=main_markdown(content.texts[0], content.url).encode())

    @property
    def needs_chrome(self) -> bool:
        return self.is_rendered


class _SizedPayload(SinglePagePayload):
    """A file that Chromium makes of a page, in a window of some size."""

    width: Pixels | None = None
    height: Pixels | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        return {name: value for name, value in (("width", self.width), ("height", self.height)) if value}


def _read_picture(value: Any) -> Any:
    return value.lower() or "png" if isinstance(value, str) else value


class ScreenshotPayload(_SizedPayload):
    """A picture of the page: of its window, of the whole of it, or of what a selector finds.

    With offsets it is of a rectangle in the page, of that width and height. `scale` makes it larger or smaller.
    `quality` counts for JPEG alone, and `print_background` not at all: a picture has it.
    """

    picture: Annotated[Text, BeforeValidator(_read_picture)] = Field("png", alias="format")
    quality: Annotated[WholeNumber, Field(ge=0, le=100)] | None = Field(
        None, validation_alias=AliasChoices("quality", "qality")
    )
    full_page: Flag = Field(False, validation_alias=AliasChoices("fullPage", "wholePage"))
    clip_selector: Selector = Field("", alias="clipSelector")
    offset_x: Annotated[WholeNumber, Field(ge=0, le=PIXELS_MAX)] = Field(
        0, validation_alias=AliasChoices("offsetx", "offsetX", "xoffset")
    )
    offset_y: Annotated[WholeNumber, Field(ge=0, le=OFFSET_MAX)] = Field(
        0, validation_alias=AliasChoices("offsety", "offsetY", "yoffset")
    )
    scale: Annotated[float, number_between(0.1, 3)] = 1.0
    print_background: Flag = Field(False, alias="printBackground")

    @field_validator("picture")
    @classmethod
    def _is_known(cls, picture: str) -> str:
        if picture not in PICTURES:
            raise invalid_value("Must be png or jpg.")
        return picture

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.full_page and self.clip_selector:
            raise invalid_places([(("fullPage",), "Must not be set beside clipSelector.")])
        return self

    @property
    def format(self) -> str:
        return "png" if self.picture == "png" else "jpg"

    @property
    def options(self) -> Mapping[str, Any]:
        options = {**super().options, "type": PICTURES[self.picture]}
        if self.quality is not None and self.format != "png":
            options["quality"] = self.quality
        if self.scale != 1:
            options["device_scale"] = self.scale
        if self.clip_selector:
            options["selector"] = self.clip_selector
        elif self.full_page:
            options["full_page"] = True
        elif self.offset_x or self.offset_y:
            options["offset"] = (self.offset_x, self.offset_y)
            options["width"] = self.offset_x + (self.width or WINDOW[0])
        return options


class PaperMargin(JsonModel):
    """Margins of a printed page, in inches."""

    top: Inches | None = None
    right: Inches | None = None
    bottom: Inches | None = None
    left: Inches | None = None


class PdfPayload(_SizedPayload):
    """The page as it is printed; with `print_header_footer`, its date, title, address and page numbers at the edges.

    Margins may be spelled out. Without any they are 0; where something is printed in them, 0.4 inches.
    """

    landscape: Flag = False
    print_background: Flag = Field(False, alias="printBackground")
    paper: Annotated[Text, AfterValidator(lambda paper: paper or "A4")] = Field("A4", alias="paperSize")
    scale: Annotated[float | None, number_between(0.1, 5)] = None
    page_ranges: Text = Field("", alias="pageRanges", max_length=100)
    margin: PaperMargin | None = None
    margin_top: Inches | None = Field(None, alias="marginTop")
    margin_right: Inches | None = Field(None, alias="marginRight")
    margin_bottom: Inches | None = Field(None, alias="marginBottom")
    margin_left: Inches | None = Field(None, alias="marginLeft")
    print_header_footer: Flag = Field(False, alias="printHeaderFooter")

    @field_validator("paper")
    @classmethod
    def _is_known(cls, paper: str) -> str:
        if paper not in PAPERS:
            raise invalid_value(f"Must be one of {', '.join(PAPERS)}.")
        return paper

    @field_validator("page_ranges")
    @classmethod
    def _are_ranges(cls, text: str) -> str:
        if text.strip(" 0123456789-,"):
            raise invalid_value('Must be as "1-3, 5".')
        return text

    @property
    def options(self) -> Mapping[str, Any]:
        options = {
            **super().options,
            "format": self.paper,
            "landscape": self.landscape,
            "print_background": self.print_background,
        }
        if self.scale:
            options["scale"] = min(self.scale, PRINT_SCALE_MAX)
        if self.scale and self.scale > PRINT_SCALE_MAX:
            options["zoom"] = self.scale / PRINT_SCALE_MAX
        if self.page_ranges:
            options["page_ranges"] = self.page_ranges
        if self.print_header_footer:
            options["display_header_footer"] = True
        options["margin"] = {side: f"{self._margin(side):g}in" for side in SIDES}
        return options

    def _margin(self, side: str) -> float:
        """The margin at a side, in inches."""
        for inches in (getattr(self, f"margin_{side}"), getattr(self.margin, side, None)):
            if inches is not None:
                return float(inches)
        return HEADER_MARGIN if self.print_header_footer else 0.0


SINGLE_PAGE_PAYLOADS: Mapping[str, type[SinglePagePayload]] = {
    HTML: SourcePayload,
    SCREENSHOT: ScreenshotPayload,
    PDF: PdfPayload,
}


def parse_single_page(value: Mapping[str, Any], at: str = "", *, stored: bool = False) -> SinglePagePayload:
    """Reads the payload of a single page, of the product that it names itself."""
    return SINGLE_PAGE_PAYLOADS[str(value.get(PRODUCT, HTML))].parse(value, at, stored=stored)
