"""What a call takes, by its description in the OpenAPI document; what else is sent with it is refused by name.

A name that is overlooked would do what was not asked for: a filter that filters nothing, an option that is off.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from taskhub.errors import Problem, Rejected
from taskhub.jsontools.strict_json import escape_pointer

# Of every call: pages of lists, and the key for callers who can send no header.
ALWAYS_ALLOWED = frozenset({"limit", "cursor", "api_key"})
NAMES_MAX = 20


ANY = "KEY"  # at the end of a parameter's name it stands for any text


class DescribedCall(NamedTuple):
    query: frozenset[str]
    has_body: bool

    def takes(self, name: str) -> bool:
        """Whether the query may have a parameter of this name."""
        before, dot, rest = name.partition(".")
        return name in self.query or bool(rest and f"{before}{dot}{ANY}" in self.query)


_described: dict[tuple[type[Any], str], DescribedCall] = {}  # by view and method


def refuse_unknown_names(view: Any, request: Request) -> None:
    """Raises `Rejected` for parameters of the query, and for a body, that the call's description does not have.

    A view with `reads_any_body` takes one also where OpenAPI describes none, with GET.
    """
    method = "GET" if request.method == "HEAD" else request.method or ""
    handler = getattr(view, method.lower(), None)
    if not hasattr(handler, "kwargs"):
        return  # such as OPTIONS
    key = (type(view), method)
    if (call := _described.get(key)) is None:
        call = _described[key] = _description_of(view, handler, method)
    _refuse(name for name in request.query_params if not call.takes(name))
    has_body = call.has_body or getattr(view, "reads_any_body", False)
    if not has_body and request.META.get("CONTENT_LENGTH") not in (None, "", "0"):
        body = _body_of(request)
        if isinstance(body, Mapping):
            _refuse(body)
        elif body:
            raise Rejected("This call takes no body.")


def _refuse(names: Any) -> None:
    if errors := [
        {"pointer": f"/{escape_pointer(str(name)[:100])}", "detail": "There is no such name here."}
        for name in islice(names, NAMES_MAX)
    ]:
        raise Rejected(f"Some values are not valid. {errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def _body_of(request: Request) -> Any:
    try:
        return request.data
    except (Problem, APIException):
        return "something that is not read here"


def _description_of(view: Any, handler: Any, method: str) -> DescribedCall:
    schema = handler.kwargs["schema"]()
    schema.view, schema.method, schema.path = view, method, ""
    names = set(ALWAYS_ALLOWED)
    for parameter in schema.get_override_parameters():
        if not isinstance(parameter, OpenApiParameter):
            serializer: Any = parameter() if isinstance(parameter, type) else parameter
            names |= set(serializer.fields)
        elif parameter.location == OpenApiParameter.QUERY and not parameter.response:
            names.add(parameter.name)
    return DescribedCall(frozenset(names), schema.get_request_serializer() is not None)
