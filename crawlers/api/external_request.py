"""An external as a client sends it."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from crawlers.api.request_models import META, check_address
from crawlers.domain.parameters import CheckedDescriptions
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema
from taskhub.jsontools.field_types import Text
from taskhub.jsontools.schema import REQUIRED, ObjectSchema, invalid_places, invalid_value

ENDPOINT_MAX = 2000
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4000}")
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "upgrade", "te"}


def _check_schema(schema: Any) -> Any:
    try:
        if schema is not None:
            DocumentSchema(schema)
    except InvalidSchema as error:
        raise invalid_value(str(error)) from None
    return schema


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    errors = []
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            errors.append(((name,), "Must be the name of a header that is not the hub's own."))
        elif not _HEADER_VALUE.fullmatch(value):
            errors.append(((name,), "Must be the value of a header, of at most 4000 characters."))
    if errors:
        raise invalid_places(errors)
    return headers


@with_config(ConfigDict(extra="forbid"))
class OAuthRequirement(TypedDict):
    """That a crawler needs a token, in the words of older documents: with the address where it is granted."""

    oauth: Annotated[Text, Field(max_length=ENDPOINT_MAX)]


EXTERNAL = ObjectSchema(
    "ExternalSent",
    {
        "meta": (META, REQUIRED),
        "endpoint": (
            Annotated[Text, Field(min_length=1, max_length=ENDPOINT_MAX), AfterValidator(check_address)],
            REQUIRED,
        ),
        "credential": (Literal["none", "ignore", "basic", "oauth"] | OAuthRequirement | None, None),
        "parameters": (CheckedDescriptions, []),
        "schema": (
            Annotated[
                dict[str, Any] | bool | None,
                Field(description="JSON Schema of one document."),
                AfterValidator(_check_schema),
            ],
            None,
        ),
        "docIdField": (Annotated[Text | None, Field(max_length=200)], None),
        "headers": (
            Annotated[
                dict[str, str],
                Field(description="Sent to the crawler, to its origin only."),
                AfterValidator(_check_headers),
            ],
            {},
        ),
        "timeout": (Annotated[int, Field(ge=1, le=30 * 86400, description="Seconds without a sign of life.")], 3600),
        "analysis": (Annotated[Any, Field(description="Kept for clients, and given back.")], None),
        "oauth": (
            Annotated[Text | None, Field(max_length=ENDPOINT_MAX, description="Where a token is granted; given back.")],
            None,
        ),
        "oauthParameters": (Annotated[Any, Field(description="What that address is given; given back.")], None),
    },
)
