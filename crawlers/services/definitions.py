"""Externals, streams and crawlers: registered, changed, deleted."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from crawlers.domain.parameters import (
    complete_values,
    find_value_errors,
    hide_secret_defaults,
    load_descriptions,
    secret_names,
)
from crawlers.models import Crawler, CrawlerState, CrawlerTask, External, Stream
from crawlers.services.crawler_schedules import replace_schedule
from crawlers.services.crawler_secrets import (
    MOVED,
    all_params,
    have_moved,
    params_to_change,
    secret_defaults,
    secrets_for,
    unmask,
    unmask_defaults,
)
from crawlers.services.document_removal import queue_removal
from crawlers.services.status_updates import stop_task
from taskhub.audit.services import record_change
from taskhub.errors import Conflict, ErrorEntry, invalid
from taskhub.jsontools.schema import rejected
from taskhub.outbound import read_origin

# Externals

KEPT = ("analysis", "oauth", "oauthParameters")


def save_external(*, external: External, values: Mapping[str, Any]) -> External:
    """Stores a new external, or a changed one under its next version. `values` have been checked.

    An endpoint of another origin does not get the headers and secret defaults of before: raises `Rejected` for those
    that are not given again. Nor does it get the secrets of its crawlers; see `crawlers.services.crawler_secrets`.
    """
    present, defaults = external.headers, secret_defaults(external.parameters)
    if external.pk and read_origin(values["endpoint"]) != read_origin(external.endpoint):
        present, defaults, external.moved_at = {}, {}, timezone.now()
    external.meta = values["meta"]
    external.endpoint = values["endpoint"]
    credential = values.get("credential") or External.Credential.NONE
    external.kept = {name: values[name] for name in KEPT if values.get(name) is not None}
    if isinstance(credential, Mapping):
        external.kept["credential"], credential = credential, External.Credential.OAUTH
    external.credential = credential
    external.parameters = unmask_defaults(values.get("parameters", []), defaults)
    external.schema = values.get("schema")
    external.id_field = values.get("docIdField") or ""
    external.headers = unmask(values.get("headers", {}), present, "/headers")
    external.timeout = values.get("timeout", 3600)
    with transaction.atomic():
        before = _stored_values(External, external.pk)
        if external.pk:
            external.version = F("version") + 1
        external.save()
        external.refresh_from_db()
        _record("change" if before else "create", external, before=before, after=_values_of(external))
    return external


def delete_external(*, external: External) -> None:
    """Raises `Conflict` while crawlers use it. The documents of earlier crawlers stay."""
    with transaction.atomic():
        External.objects.select_for_update().get(pk=external.pk)
        if Crawler.objects.filter(external=external, removed_at__isnull=True).exists():
            raise Conflict("Crawlers use this external; delete them first.")
        External.objects.filter(pk=external.pk).update(removed_at=timezone.now(), version=F("version") + 1)
        _record("delete", external)


# Streams


def create_stream(*, owner: Any, meta: Mapping[str, Any], retention: Mapping[str, Any] | None = None) -> Stream:
    stream = Stream(owner=owner, meta=dict(meta))
    set_retention(stream, retention or {})
    with transaction.atomic():
        stream.save()
        _record("create", stream, after=_values_of(stream))
    return stream


def set_retention(stream: Stream, retention: Mapping[str, Any]) -> None:
    """Sets what a stream keeps: `{days?, documents?}`. It is looked at soon."""
    stream.retention_days, stream.retention_documents = retention.get("days"), retention.get("documents")
    stream.checked_at = None


def change_meta(*, row: Stream | Crawler, meta: Mapping[str, Any]) -> None:
    row.meta, row.version = dict(meta), F("version") + 1
    changed = ["retention_days", "retention_documents", "checked_at"] if isinstance(row, Stream) else []
    with transaction.atomic():
        before = _stored_values(type(row), row.pk)
        row.save(update_fields=["meta", "version", *changed])
        row.refresh_from_db()
        _record("change", row, before=before, after=_values_of(row))


def delete_stream(*, stream: Stream) -> None:
    """Deletes a stream, its crawler, tasks and documents: for readers at once, from the tables in the background."""
    for crawler in Crawler.objects.filter(stream=stream, removed_at__isnull=True):
        delete_crawler(crawler=crawler)
    with transaction.atomic():
        if Stream.objects.filter(pk=stream.pk, removed_at__isnull=True).update(removed_at=timezone.now()):
            queue_removal(owner=stream.owner, stream=stream)
            _record("delete", stream)


# Crawlers


def create_crawler(
    *,
    external: External,
    stream: Stream | None,
    meta: Mapping[str, Any],
    params: Mapping[str, Any],
    credential: Any,
    schedule: Mapping[str, Any] | None,
    webhook: str = "",
) -> Crawler:
    """Makes a crawler for this stream, or for a new one of its name.

    Raises `Rejected` with all places, and `Conflict` for a stream that has a crawler.
    """
    owner = external.owner
    crawler = Crawler(owner=owner, external=external, meta=dict(meta), webhook=webhook)
    _set_values(crawler, params, credential)
    try:
        with transaction.atomic():
            crawler.stream = stream or create_stream(owner=owner, meta={"name": crawler.name})
            crawler.save()
            if schedule is not None:
                replace_schedule(crawler=crawler, schedule=schedule)
            _record("create", crawler, after=_values_of(crawler))
    except IntegrityError as error:
        if "crawler_one_a_stream" not in str(error):
            raise
        raise Conflict("The stream has a crawler already.") from None
    return crawler


def change_crawler(*, crawler: Crawler, values: Mapping[str, Any]) -> Crawler:
    """`values` may have meta, params, credential, schedule and webhook, each as it is to be from now on."""
    with transaction.atomic():
        crawler.webhook = values.get("webhook", crawler.webhook) or ""
        if "meta" in values:
            crawler.meta = dict(values["meta"])
        if "params" in values or "credential" in values:
            params = unmask(values.get("params", params_to_change(crawler)), all_params(crawler), "/params")
            credential = values["credential"] if "credential" in values else crawler.secrets.get("credential")
            if "credential" not in values and credential and have_moved(crawler):
                raise invalid("/credential", MOVED)
            _set_values(crawler, params, credential)
        before = _stored_values(Crawler, crawler.pk)
        crawler.version = F("version") + 1
        crawler.save(update_fields=["meta", "params", "secrets", "webhook", "version"])
        if "schedule" in values:
            replace_schedule(crawler=crawler, schedule=values["schedule"])
        crawler.refresh_from_db()
        _record("change", crawler, before=before, after=_values_of(crawler))
    return crawler


def delete_crawler(*, crawler: Crawler) -> None:
    """Stops the crawler's running task; the documents of its tasks stay in the stream."""
    with transaction.atomic():
        replace_schedule(crawler=crawler, schedule=None)
        CrawlerState.objects.filter(crawler=crawler).delete()
        Crawler.objects.filter(pk=crawler.pk).update(removed_at=timezone.now(), version=F("version") + 1)
        _record("delete", crawler)
    for task in CrawlerTask.objects.filter(crawler=crawler, ended_at__isnull=True, removed_at__isnull=True):
        stop_task(task=task, message="The crawler was deleted.")


def complete_params(*, external: External, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with defaults. Raises `Rejected` with the place of each error."""
    descriptions = load_descriptions(external.parameters)
    values = complete_values(descriptions, params)
    if errors := find_value_errors(descriptions, values):
        raise rejected(errors)
    return values


def split_params(*, external: External, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that may be shown, and the secret ones."""
    secret = secret_names(load_descriptions(external.parameters))
    return {n: v for n, v in params.items() if n not in secret}, {n: v for n, v in params.items() if n in secret}


def _set_values(crawler: Crawler, params: Mapping[str, Any], credential: Any) -> None:
    external = crawler.external
    values = complete_params(external=external, params=params)
    credential = _check_credential(external, credential)
    crawler.params, secret = split_params(external=external, params=values)
    crawler.secrets = secrets_for(external, params=secret, credential=credential)


def _check_credential(external: External, credential: Any) -> Any:
    """The credential that is to be stored: as it was sent, or None. Raises `Rejected`."""
    match external.credential:
        case External.Credential.IGNORE:
            return None
        case External.Credential.NONE:
            if credential not in (None, {}, ""):
                raise invalid("/credential", "This external takes no credential.")
            return None
        case External.Credential.BASIC:
            members = credential if isinstance(credential, Mapping) else {}
            user_name = "user" if "user" in members and "username" not in members else "username"
            errors: list[ErrorEntry] = [
                {"pointer": f"/credential/{name}", "detail": "Must be a text that is not empty."}
                for name in (user_name, "password")
                if not isinstance(members.get(name), str) or not members[name]
            ]
            if errors:
                raise rejected(errors)
        case External.Credential.OAUTH:
            if not isinstance(credential, str | Mapping) or not credential:
                raise invalid("/credential", "Must be a token, or an object that holds one.")
    return credential


# For the audit log

_AUDITED: dict[type[Any], tuple[str, ...]] = {
    External: ("meta", "endpoint", "credential", "parameters", "schema", "id_field", "timeout"),
    Stream: ("meta", "retention_days", "retention_documents"),
    Crawler: ("meta", "params", "secrets", "webhook"),
}


def _values_of(row: External | Stream | Crawler) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _AUDITED[type(row)]}
    if isinstance(row, External):  # whose headers are for its crawler alone, and known by no name to be secret
        values["parameters"] = hide_secret_defaults(row.parameters)
        values["secrets"] = {"headers": row.headers, "defaults": secret_defaults(row.parameters)}
    return values


def _stored_values(model: Any, pk: int | None) -> dict[str, Any] | None:
    row = model.objects.filter(pk=pk).first() if pk else None
    return None if row is None else _values_of(row)


def _record(action: str, row: External | Stream | Crawler, **values: Any) -> None:
    kind = type(row).__name__.lower()
    record_change(action, kind, row.fid, str(row.meta.get("name") or ""), owner_id=row.owner_id, **values)
