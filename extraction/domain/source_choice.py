"""As what a page is read, as users say it: HTML, XML, JSON, or the data in a script. Pure."""

from typing import Any, Literal, Self

from pydantic import ValidationInfo, model_validator

from extraction.domain.page_sources import HTML, JSON, JSON_LD, SCRIPT, XML
from extraction.domain.selectors import SourceSelector, html_fault
from taskhub.jsontools.json_models import REQUIRED_WORDS, JsonModel, is_stored
from taskhub.jsontools.schema import invalid_places, invalid_value

SOURCE_WORDS = 'Must be html, xml, json, jsonld or {"script": selector}.'


def read_source(value: Any) -> Any:
    """Reads what a page is read as: a word, or the selector of a script."""
    if isinstance(value, str):
        word = value.lower()
        if word not in {HTML, XML, JSON, JSON_LD}:
            raise invalid_value(SOURCE_WORDS)
        return {"kind": word}
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": SCRIPT, **value}
    raise invalid_value(SOURCE_WORDS)


class SourceChoice(JsonModel):
    """As what a page is read: by its kind, of which `script` has a selector of the HTML page."""

    kind: Literal["html", "xml", "json", "jsonld", "script"]
    script: SourceSelector = ""

    @model_validator(mode="after")
    def _finds_scripts(self, info: ValidationInfo) -> Self:
        if not is_stored(info) and self.kind == SCRIPT:
            fault = html_fault(self.script) if self.script else REQUIRED_WORDS
            if fault:
                raise invalid_places([((SCRIPT,), fault)])
        return self
