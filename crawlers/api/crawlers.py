"""Crawlers: listed, made, shown, changed, deleted."""

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import (
    UNSHOWN,
    serialize_crawler,
    serialize_external,
    serialize_streams,
    serialize_task,
)
from crawlers.api.views import (
    DELETED,
    IS_VERSIONED,
    EnvelopeListView,
    EnvelopeView,
    created_response,
    enveloped,
    json_body,
    list_response,
    locked_row,
    payload_response,
    versioned_response,
)
from crawlers.models import Crawler, External, Stream
from crawlers.services import definitions
from crawlers.services.crawler_secrets import params_to_change
from crawlers.services.task_runs import start_task
from taskhub.errors import invalid
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.openapi.schemas import nullable, object_of, response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match

CREATED = {"crawler": shown.CRAWLER, "stream": shown.STREAM, "external": shown.EXTERNAL, "task": None}
CREATED_SCHEMA = object_of("CreatedCrawler", CREATED) | {
    "properties": {
        "crawler": shown.CRAWLER_SCHEMA,
        "stream": shown.STREAM_SCHEMA,
        "external": shown.EXTERNAL_SCHEMA,
        "task": nullable(shown.TASK_SCHEMA),
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
        rows = rows.defer(*UNSHOWN)
        return self.page(rows, lambda crawlers: [serialize_crawler(crawler, request.user) for crawler in crawlers])


class CrawlerView(EnvelopeView):
    @extend_schema(
        operation_id="crawlers_retrieve",
        parameters=[ETAG],
        responses={200: payload_response("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a crawler.

        Secret parameters are stars, and the credential is not shown.
        """
        crawler = Crawler.objects.select_related(*CRAWLER_RELATED).get_visible(request.user, fid)
        return versioned_response(crawler, serialize_crawler(crawler, request.user))

    @extend_schema(
        operation_id="crawlers_change",
        parameters=[IF_MATCH, ETAG],
        request=json_body(request_models.CRAWLER),
        responses={200: payload_response("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER), **IS_VERSIONED},
        examples=[OpenApiExample("A change", {"params": {"query": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a crawler.

        Merged recursively into what stands; `schedule` and `credential` are replaced, null for none. Where the
        external's endpoint has moved to another origin, secret parameters and the credential are to be given again.
        """
        change = request_models.modern_names(self.read_object(request))
        with locked_row(request, Crawler.objects.select_related(*CRAWLER_RELATED), fid) as crawler:
            present: dict[str, Any] = {"meta": crawler.meta, "params": params_to_change(crawler)}
            merged = {name: merge_patch(present[name], change[name]) for name in present.keys() & change.keys()}
            values = request_models.CRAWLER.check({**change, **merged})
            changed = {name: value for name, value in values.items() if name in change}
            return self._save(request, crawler, changed)

    @extend_schema(
        operation_id="crawlers_replace",
        parameters=[IF_MATCH, ETAG],
        request=json_body(request_models.CRAWLER),
        responses={200: payload_response("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER), **IS_VERSIONED},
        examples=[OpenApiExample("A crawler", shown.SENT_CRAWLER, request_only=True)],
    )
    def put(self, request: Request, fid: UUID) -> Response:
        """Replace a crawler.

        Without `schedule` or `webhook` it has none from now on. Its external, stream and tasks stay; so do secrets,
        which nobody is shown: parameters that are sent as stars, and a `credential` that is not sent.
        """
        sent = request_models.modern_names(self.read_object(request))
        absent: dict[str, Any] = {"meta": {}, "params": {}, "schedule": None, "webhook": ""}
        values = absent | request_models.CRAWLER.check(sent)
        if "credential" not in sent:
            values.pop("credential", None)
        with locked_row(request, Crawler.objects.select_related(*CRAWLER_RELATED), fid) as crawler:
            return self._save(request, crawler, values)

    @staticmethod
    def _save(request: Request, crawler: Crawler, values: dict[str, Any]) -> Response:
        crawler = definitions.change_crawler(crawler=crawler, values=values)
        return versioned_response(crawler, serialize_crawler(crawler, request.user))

    @extend_schema(operation_id="crawlers_delete", parameters=[IF_MATCH], responses=DELETED)
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a crawler.

        Its running task is stopped; its documents stay in the stream.
        """
        crawler = Crawler.objects.select_related(*CRAWLER_RELATED).get_visible(request.user, fid)
        check_if_match(request, crawler.version)
        definitions.delete_crawler(crawler=crawler)
        return enveloped(None, crawler.version + 1)


class CreateCrawlerView(EnvelopeView):
    @extend_schema(
        operation_id="crawlers_create",
        parameters=[KEY_PARAMETER, ETAG, response_header("Location", "The crawler's address.", 201)],
        request=json_body(request_models.NEW_CRAWLER),
        responses={201: payload_response("The crawler", CREATED_SCHEMA, CREATED)},
        examples=[OpenApiExample("A crawler", shown.SENT_CRAWLER, request_only=True)],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Make a crawler for a stream.

        The stream is named in `meta.links`: `[{"from": {"type": "streams", "fid": ...}}]`; without it one is made.
        Parameters are checked; each fault has its place. With `start` the crawler's first task begins at once.
        """
        external = External.objects.select_related("owner").get_visible(request.user, fid)
        values = request_models.NEW_CRAWLER.check(request_models.modern_names(self.read_object(request)))
        return answer_once(request, values, lambda: self._create(request, external, values))

    @staticmethod
    @transaction.atomic
    def _create(request: Request, external: External, values: dict[str, Any]) -> Response:
        meta = dict(values.get("meta", {}))
        crawler = definitions.create_crawler(
            external=external,
            stream=_linked_stream(meta.pop("links", []), external.owner),
            meta=meta,
            params=values.get("params", {}),
            credential=values.get("credential"),
            schedule=values.get("schedule"),
            webhook=values.get("webhook") or "",
        )
        task = start_task(crawler=crawler)[0] if values.get("start") else None
        payload = {
            "crawler": serialize_crawler(crawler, request.user),
            "stream": serialize_streams([crawler.stream])[0],
            "external": serialize_external(external, request.user),
            "task": serialize_task(task) if task else None,
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
