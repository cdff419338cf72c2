"""What the OpenAPI document says of a view by what the view is, so that no view says it by hand.

A method's docstring is the operation's summary (its first line) and description (the rest).
"""

import re
from typing import Any, cast

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc
from drf_spectacular.utils import Direction

from taskhub.web.openapi import security_schemes  # noqa: F401  (drf-spectacular finds them by their classes)
from taskhub.web.openapi.problem_responses import MEANING, problem_response
from taskhub.web.openapi.schemas import PAGE
from taskhub.web.problems import PROBLEM_TYPE

BODY_STATUSES = {406, 408, 411, 413, 415}  # of a call that reads a body
IDEMPOTENCY_STATUSES = {409, 422}  # of a call that takes an Idempotency-Key


class HubAutoSchema(AutoSchema):
    """Derives summary, description, tag, paging and problems of an operation.

    A view may have `path_parameters`: descriptions of parameters in its path, of which each path takes those it has.
    A request's body is never guessed: `extend_schema(request=...)` names it.
    """

    def get_operation(self, *arguments: Any, **options: Any) -> Any:
        operation = super().get_operation(*arguments, **options)
        if operation is not None:
            self._add_problems(operation)
        return operation

    def get_summary(self) -> str | None:
        return " ".join(self._docstring()[0].split()).rstrip(".") or None

    def get_description(self) -> str:  # type: ignore[override]
        """The method's docstring without its first line; that of the view's class where it has no more."""
        paragraphs = (self._docstring()[1] or get_doc(self.view.__class__)).split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def get_tags(self) -> list[str]:
        """The app of the view's module: `webhooks` for `taskhub.runs.webhooks.api`."""
        return re.findall(r"(\w+)\.api\b", type(self.view).__module__)[-1:]

    def get_request_serializer(self) -> Any:
        return None

    def get_override_parameters(self) -> list[Any]:
        in_path = [one for one in getattr(self.view, "path_parameters", ()) if f"{{{one.name}}}" in self.path]
        paged = self.method == "GET" and getattr(self.view, "pagination_class", None) is not None
        return in_path + (PAGE if paged else [])

    def _docstring(self) -> tuple[str, str]:
        """Summary and description of the view's method."""
        summary, _, description = get_doc(getattr(self.view, self.method.lower(), None)).partition("\n\n")
        return summary, description

    def _add_problems(self, operation: dict[str, Any]) -> None:
        """Adds the problems that the call can answer; what `extend_schema` says of a status itself stays."""
        responses, describe = operation["responses"], cast(Any, self._get_response_for_code)
        for status in sorted(self._problem_statuses(operation)):
            if str(status) not in responses:
                response = problem_response(status, MEANING[status])
                responses[str(status)] = describe(response, str(status), [PROBLEM_TYPE])
        operation["responses"] = dict(sorted(responses.items()))

    def _problem_statuses(self, operation: dict[str, Any]) -> set[int]:
        statuses = {400}  # any query or cookie may hold U+0000
        security = operation.get("security", [])
        if self.view.throttle_classes:
            statuses |= {429, 503}
        if any(security):
            statuses |= {401, 403}
        if "{" in self.path:
            statuses.add(404)
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", [])):
            statuses |= IDEMPOTENCY_STATUSES
        if "requestBody" in operation:
            statuses |= BODY_STATUSES - ({411} if getattr(self.view, "reads_pieces", False) else set())
        return statuses


class StrictBody(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.serializers.Strict"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        describe: Any = auto_schema._map_serializer
        schema = describe(self.target, direction, bypass_extensions=True)
        pairs = {given: [needed] for given, needed in self.target.goes_with.items()}
        return {**schema, "additionalProperties": False, **({"dependentRequired": pairs} if pairs else {})}
