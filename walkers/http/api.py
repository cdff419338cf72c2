"""The calls of walkers by HTTP: `/js/<api>` and `/js_admin/<api>`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpResponseBase, QueryDict
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.errors import Forbidden, invalid
from taskhub.runs.idempotency import answer_once, answer_once_by_steps
from taskhub.runs.waits import answer_when_ended
from taskhub.web.rest_policies import FormOrJsoncParser, JsoncParser, MultiPartParser
from walkers.http.documentation import describe
from walkers.http.form_values import read_form, without_fields
from walkers.http.registry import CallFunction, CallResponse, functions, wapi_arguments
from walkers.services.run_files import digests
from walkers.walks.principal import Principal


class CallView(APIView):
    """One function of the registry."""

    function: ClassVar[CallFunction]
    http_method_names = ["get", "post", "options"]  # HEAD only of what reads: it does what GET does

    def get(self, request: Request, **path_arguments: str) -> HttpResponseBase:
        if not self.function.reads and isinstance(request.successful_authenticator, SessionAuthentication):
            raise Forbidden("With a browser's session this call is a POST, so that no link can make it.")
        return self._respond(request, self._query(request), path_arguments)

    def post(self, request: Request, **path_arguments: str) -> HttpResponseBase:
        arguments = self.function.merge(self._query(request), self._body(request))
        return self._respond(request, arguments, path_arguments)

    def _respond(
        self, request: Request, arguments: dict[str, Any], path_arguments: Mapping[str, str]
    ) -> HttpResponseBase:
        if path_arguments:
            arguments = wapi_arguments(path_arguments["walker"], arguments)
        files = without_fields(request.FILES, self.function.arguments_schema.names)
        principal = Principal(request.user, files, request)
        if self.function.reads:
            return self._read(request, self.function(principal, arguments))
        if "Idempotency-Key" in request.headers:
            return self._respond_once(request, principal, arguments)
        return _http_response(_after_commit(self.function(principal, arguments)))

    def _read(self, request: Request, response: CallResponse) -> HttpResponseBase:
        wait = response.wait
        if wait is None:
            return _http_response(response)

        def respond() -> Response:
            return _http_response(wait.respond())

        return answer_when_ended(request, run_ids=[wait.run_id], seconds=wait.seconds, respond=respond)

    def _respond_once(self, request: Request, principal: Principal, arguments: dict[str, Any]) -> HttpResponseBase:
        """Makes a call with an Idempotency-Key, or gives the answer that it got before."""
        call_response = CallResponse()

        def produce() -> Response:
            nonlocal call_response
            call_response = self.function(principal, arguments)
            return _http_response(call_response)

        def finish(response: Response) -> Response:
            return _http_response(_after_commit(call_response)) if call_response.respond_after_commit else response

        fields = {"arguments": arguments, "files": digests(principal.files)}
        if not self.function.is_atomic(principal, arguments):
            return answer_once_by_steps(request, fields, produce)
        return answer_once(request, fields, produce, finish)

    def _query(self, request: Request) -> dict[str, Any]:
        texts = request.query_params.copy()
        texts.pop("api_key", None)
        return self._from_texts(request, read_form(texts, ())[0])

    def _from_texts(self, request: Any, texts: dict[str, str]) -> dict[str, Any]:
        """The arguments in a query or a form. What may have comments is kept as it is written, as of a body."""
        if self.function.notation == "jsonc" and "body" in texts:
            request.written = f'{{"body": {texts["body"]}}}'
        return self.function.from_texts(texts)

    def _body(self, request: Request) -> dict[str, Any]:
        data = request.data
        if isinstance(data, QueryDict):
            texts, values = read_form(data, self.function.arguments_schema.names, self.function.read_json)
            return {**self._from_texts(request, texts), **values}
        if not isinstance(data, dict):
            raise invalid("", "The body is not a JSON object.")
        return data


def _after_commit(response: CallResponse) -> CallResponse:
    """The response as it is once the call has been committed."""
    return response.respond_after_commit() if response.respond_after_commit else response


def _http_response(response: CallResponse) -> Response:
    return Response(response.body, response.status, headers=dict(response.headers))


def _view(function: CallFunction, route: str) -> Any:
    attributes: dict[str, Any] = {
        "function": function,
        "throttle_scope": "read" if function.reads else "submit",
        "key_scopes": dict.fromkeys(("GET", "POST"), function.key_scope),
    }
    if function.reads:
        attributes["http_method_names"] = ["head", *CallView.http_method_names]
    if function.notation == "jsonc":
        attributes["parser_classes"] = [JsoncParser, FormOrJsoncParser, MultiPartParser]
    view: type[CallView] = type(f"{function.name.title().replace('_', '')}View", (CallView,), attributes)
    if route in function.other_paths:
        return extend_schema(exclude=True)(view).as_view()
    return describe(view, function, route).as_view()


def _routes(function: CallFunction) -> list[str]:
    folder = "js_admin" if function.scope == "admin" else "js"
    named = ["js/wapi/<str:walker>"] * (function.name == "walker_run")
    return [f"{folder}/{function.name}", *named, *function.other_paths]


OTHER_PATHS = [path for function in functions() for path in function.other_paths]
urlpatterns = [path(route, _view(function, route)) for function in functions() for route in _routes(function)]
