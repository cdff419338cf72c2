"""Changes that are meant for one version of an object: `ETag` and `If-Match` (RFC 9110, section 13.1.1)."""

import re
from functools import partial

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from taskhub.errors import PreconditionFailed
from taskhub.security.fingerprints import CheckVersion, Version
from taskhub.web.openapi.schemas import response_header

ETAG = response_header("ETag", "The version, quoted, for `If-Match`.", 200, 201)
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="The `ETag` that the change is meant for; 412 where the version is another one by now.",
)


def etag_of(version: Version) -> dict[str, str]:
    """The header of an answer that shows an object of this version."""
    return {"ETag": f'"{version}"'}


def check_if_match(request: Request, version: Version) -> None:
    """Raises `PreconditionFailed` where a call is for another version than this; 0 is that of what is not there yet."""
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if str(version) not in (tag.strip() for tag in re.sub(r'"([^"]*)"', r"\1", wanted).split(",")):
        raise changed_meanwhile(version, f"the call is for {wanted[:100]}")


def version_check(request: Request) -> CheckVersion:
    """`check_if_match` of a call, for the service that finds the version."""
    return partial(check_if_match, request)


def changed_meanwhile(version: Version, meant: str) -> PreconditionFailed:
    """What to raise where the present version is not the one that was meant."""
    words = f"The version is {version}" if version else "There is no version"
    return PreconditionFailed(f"{words}; {meant}.", version=version)
