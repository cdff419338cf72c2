"""Crawlers: listed, made, shown, changed, deleted."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import serialize_crawler, serialize_external, serialize_streams
from crawlers.api.views import (
    DELETED,
    EnvelopeListView,
    EnvelopeView,
    created_response,
    enveloped,
    json_body,
    list_response,
    payload_response,
)
from crawlers.models import Crawler, External, Stream
from crawlers.services import definitions
from taskhub.errors import invalid
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import object_of, response_header

CREATED = {"crawler": shown.CRAWLER, "stream": shown.STREAM, "external": shown.EXTERNAL}
CREATED_SCHEMA = object_of(CREATED) | {
    "properties": {
        "crawler": shown.CRAWLER_SCHEMA,
        "stream": shown.STREAM_SCHEMA,
        "external": shown.EXTERNAL_SCHEMA,
    }
}


CRAWLER_RELATED = ("external", "stream", "periodic", "periodic__interval", "periodic__crontab", "periodic__clocked")


class CrawlersView(EnvelopeListView):
    @extend_schema(
        operation_id="crawlers_list",
        parameters=[request_models.CrawlerQuery],
        responses={200: list_response("Crawlers", shown.CRAWLER_SCHEMA, shown.CRAWLER)},
    )
    def get(self, request: Request) -> Response:
        """List crawlers."""
        query = self.check_query(request, request_models.CrawlerQuery)
        conditions = {f"{name}__fid": fid for name, fid in query.items()}
        rows = Crawler.objects.visible_to(request.user).filter(**conditions).select_related(*CRAWLER_RELATED)
        return self.page(rows, lambda crawlers: [serialize_crawler(crawler) for crawler in crawlers])


class CrawlerView(EnvelopeView):
    @extend_schema(
        operation_id="crawlers_retrieve",
        responses={200: payload_response("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a crawler.

        Secret parameters are stars, and the credential is not shown.
        """
        crawler = Crawler.objects.select_related(*CRAWLER_RELATED).get_visible(request.user, fid)
        return enveloped(serialize_crawler(crawler), crawler.version)

    @extend_schema(
        operation_id="crawlers_change",
        request=json_body(request_models.CRAWLER),
        responses={200: payload_response("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER), **problems(409)},
        examples=[OpenApiExample("A change", {"params": {"query": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a crawler.

        Merged recursively into what stands; `schedule` and `credential` are replaced, null for none.
        """
        crawler = Crawler.objects.select_related(*CRAWLER_RELATED).get_visible(request.user, fid)
        change = self.read_object(request)
        present: dict[str, Any] = {"meta": crawler.meta, "params": definitions.all_params(crawler)}
        merged = {name: merge_patch(present[name], change[name]) for name in present.keys() & change.keys()}
        values = request_models.CRAWLER.check({**change, **merged})
        changed = {name: value for name, value in values.items() if name in change}
        crawler = definitions.change_crawler(crawler=crawler, values=changed)
        return enveloped(serialize_crawler(crawler), crawler.version)

    @extend_schema(operation_id="crawlers_delete", responses={200: DELETED})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a crawler.

        Its running task is stopped; its documents stay in the stream.
        """
        crawler = Crawler.objects.select_related(*CRAWLER_RELATED).get_visible(request.user, fid)
        definitions.delete_crawler(crawler=crawler)
        return enveloped(None, crawler.version + 1)


class CreateCrawlerView(EnvelopeView):
    @extend_schema(
        operation_id="crawlers_create",
        parameters=[KEY_PARAMETER, response_header("Location", "The crawler's address.", 201)],
        request=json_body(request_models.NEW_CRAWLER),
        responses={201: payload_response("The crawler", CREATED_SCHEMA, CREATED)},
        examples=[
            OpenApiExample("A crawler", {"meta": {"name": "shoes"}, "params": {"query": "shoes"}}, request_only=True)
        ],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Make a crawler for a stream.

        The stream is named in `meta.links`: `[{"from": {"type": "streams", "fid": ...}}]`; without it one is made.
        Parameters are checked; each fault has its place.
        """
        external = External.objects.select_related("owner").get_visible(request.user, fid)
        values = self.check_body(request, request_models.NEW_CRAWLER)
        return answer_once(request, values, lambda: self._create(external, values))

    @staticmethod
    def _create(external: External, values: dict[str, Any]) -> Response:
        meta = dict(values.get("meta", {}))
        crawler = definitions.create_crawler(
            external=external,
            stream=_linked_stream(meta.pop("links", []), external.owner),
            meta=meta,
            params=values.get("params", {}),
            credential=values.get("credential"),
            schedule=values.get("schedule"),
        )
        payload = {
            "crawler": serialize_crawler(crawler),
            "stream": serialize_streams([crawler.stream])[0],
            "external": serialize_external(external),
        }
        return created_response(crawler, payload, "crawlers")


def _linked_stream(links: list[Any], owner: Any) -> Stream | None:
    """The stream that `meta.links` names. Raises `Rejected` for one that is not the owner's."""
    if not links:
        return None
    stream = Stream.objects.filter(owner=owner, removed_at__isnull=True, fid=links[0]["from"]["fid"]).first()
    if stream is None:
        raise invalid("/meta/links/0/from/fid", "There is no such stream.")
    return stream
