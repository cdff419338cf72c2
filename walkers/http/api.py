"""HTTP's edge of the registry: `/js/<api>` and `/js_admin/<api>`."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.http import QueryDict
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.errors import Forbidden, invalid
from taskhub.runs.idempotency import answer_once
from taskhub.security.masking import is_secret
from walkers.http.openapi import describe
from walkers.http.principal import Caller
from walkers.http.registry import Answer, Function, functions, wapi_arguments
from walkers.services.files import digests


class HttpRequest:
    """What a walker may know of the request that it answers."""

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def method(self) -> str:
        return self._request.method or ""

    @property
    def path(self) -> str:
        return self._request.path

    @cached_property
    def query(self) -> Mapping[str, str]:
        return {name: str(text) for name, text in self._request.query_params.items() if name != "api_key"}

    @cached_property
    def headers(self) -> Mapping[str, str]:
        return {name: text for name, text in self._request.headers.items() if not is_secret(name)}


class CallView(APIView):
    """One function of the registry."""

    function: ClassVar[Function]
    http_method_names = ["get", "post", "options"]  # no HEAD: it would do what GET does

    def get(self, request: Request, **named: str) -> Response:
        if not self.function.reads and isinstance(request.successful_authenticator, SessionAuthentication):
            raise Forbidden("With a browser's session this call is a POST, so that no link can make it.")
        return self._answer(request, self._query(request), named)

    def post(self, request: Request, **named: str) -> Response:
        return self._answer(request, {**self._query(request), **self._body(request)}, named)

    def _answer(self, request: Request, arguments: dict[str, Any], named: Mapping[str, str]) -> Response:
        if named:
            arguments = wapi_arguments(named["walker"], arguments)
        caller = Caller(request.user, request.FILES, HttpRequest(request))
        if self.function.reads:
            return _response(self.function(caller, arguments))
        return self._answer_once(request, caller, arguments)

    def _answer_once(self, request: Request, caller: Caller, arguments: dict[str, Any]) -> Response:
        answer = Answer()

        def produce() -> Response:
            nonlocal answer
            answer = self.function(caller, arguments)
            return _response(answer)

        def finish(response: Response) -> Response:
            return _response(answer.final()) if answer.final else response

        return answer_once(request, _fields(request, caller, arguments), produce, finish)

    def _query(self, request: Request) -> dict[str, Any]:
        texts = _texts(request.query_params)
        texts.pop("api_key", None)
        return self.function.from_texts(texts)

    def _body(self, request: Request) -> dict[str, Any]:
        data = request.data
        if isinstance(data, QueryDict):
            return self.function.from_texts(_texts(data, but=request.FILES))
        if not isinstance(data, dict):
            raise invalid("", "The body is not a JSON object.")
        return data


def _texts(data: QueryDict, but: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Raises `Rejected` for a name that is given twice."""
    texts = {}
    for name, values in data.lists():
        if but and name in but:
            continue
        if len(values) > 1:
            raise invalid(f"/{name}", "This is given twice.", f"{name} is given twice.")
        texts[name] = str(values[0])
    return texts


def _fields(request: Request, caller: Caller, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two calls the same. The files are read for it only when somebody asks."""
    if "Idempotency-Key" not in request.headers:
        return {}
    return {"arguments": arguments, "files": digests(caller.files)}


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, headers=dict(answer.headers))


def _view(function: Function, path: str) -> Any:
    members = {"function": function, "throttle_scope": "read" if function.reads else "submit"}
    view: type[CallView] = type(f"{function.name.title().replace('_', '')}View", (CallView,), members)
    return describe(view, function, path).as_view()


def _paths(function: Function) -> list[str]:
    folder = "js_admin" if function.scope == "admin" else "js"
    return [f"{folder}/{function.name}"] + ["js/wapi/<str:walker>"] * (function.name == "walker_run")


urlpatterns = [path(place, _view(function, place)) for function in functions() for place in _paths(function)]
