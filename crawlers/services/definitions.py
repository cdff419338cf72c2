"""Externals, streams and crawlers: registered, changed, removed."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from crawlers.domain.document_schemas import Unusable, compiled
from crawlers.domain.parameters import Fault, complete, faults_of_descriptions, faults_of_values
from crawlers.domain.value_types import secret_names
from crawlers.models import Crawler, External, Stream, Task
from crawlers.services import crawler_schedules
from crawlers.services.document_removal import purge_later
from crawlers.services.status_updates import stop_task
from taskhub.errors import Conflict, Problem, Rejected
from taskhub.outbound import check_url
from taskhub.outbound.session import configured_policy
from taskhub.security.masking import MASK

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4000}")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "upgrade", "te"}
ENDPOINT_MAX = 2000


def refuse(faults: list[Fault]) -> None:
    """Raises `Rejected` with each of them, if there are any."""
    if faults:
        words = "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in faults[:3])
        raise Rejected(f"Some values are not valid. {words}", errors=[fault._asdict() for fault in faults[:50]])


# Externals


def save_external(*, external: External, values: Mapping[str, Any]) -> External:
    """Stores a new external, or a changed one under its next version. Raises `Rejected` that names each fault."""
    values = {**values, "headers": _unmasked(values["headers"], external.headers)}
    refuse(_faults_of_external(values))
    for name, value in values.items():
        setattr(external, name, value)
    if external.pk:
        external.version = F("version") + 1
    external.save()
    external.refresh_from_db()
    return external


def _unmasked(values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What was shown as stars, and is sent back so, stays as it was."""
    return {name: before.get(name, value) if value == MASK else value for name, value in values.items()}


def _faults_of_external(values: Mapping[str, Any]) -> list[Fault]:
    faults = []
    try:
        if len(values["endpoint"]) > ENDPOINT_MAX:
            faults.append(Fault("/endpoint", f"Must have at most {ENDPOINT_MAX} characters."))
        check_url(values["endpoint"], configured_policy())
    except Problem as problem:
        faults.append(Fault("/endpoint", problem.detail))
    try:
        if values["schema"] is not None:
            compiled(values["schema"])
    except Unusable as error:
        faults.append(Fault("/schema", str(error)))
    for name, value in values["headers"].items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            faults.append(Fault(f"/headers/{name[:100]}", "Must be the name of a header that is not the hub's own."))
        elif not _HEADER_VALUE.fullmatch(value):
            faults.append(Fault(f"/headers/{name}", "Must be the value of a header, of at most 4000 characters."))
    return faults + faults_of_descriptions(values["parameters"])


def delete_external(*, external: External) -> None:
    """Raises `Conflict` while crawlers use it. What their tasks brought in stays."""
    with transaction.atomic():
        External.objects.select_for_update().get(pk=external.pk)
        if Crawler.objects.filter(external=external, removed_at__isnull=True).exists():
            raise Conflict("Crawlers use this external; delete them first.")
        External.objects.filter(pk=external.pk).update(removed_at=timezone.now(), version=F("version") + 1)


# Streams


def create_stream(*, owner: Any, meta: Mapping[str, Any]) -> Stream:
    return Stream.objects.create(owner=owner, meta=dict(meta))


def change_meta(*, row: Stream | Crawler, meta: Mapping[str, Any]) -> None:
    row.meta, row.version = dict(meta), F("version") + 1
    row.save(update_fields=["meta", "version"])
    row.refresh_from_db()


def delete_stream(*, stream: Stream) -> None:
    """With its crawler, its tasks and its documents, which go in the background; to readers they are gone at once."""
    for crawler in Crawler.objects.filter(stream=stream, removed_at__isnull=True):
        delete_crawler(crawler=crawler)
    with transaction.atomic():
        if Stream.objects.filter(pk=stream.pk, removed_at__isnull=True).update(removed_at=timezone.now()):
            purge_later(owner=stream.owner, stream=stream)


# Crawlers


def create_crawler(
    *,
    external: External,
    stream: Stream | None,
    meta: Mapping[str, Any],
    params: Mapping[str, Any],
    credential: Any,
    schedule: Mapping[str, Any] | None,
) -> Crawler:
    """For this stream, or a new one of its name. Raises `Conflict` for a stream that has a crawler, and `Rejected`."""
    owner = external.owner
    crawler = Crawler(owner=owner, external=external, meta=dict(meta))
    _set_values(crawler, params, credential)
    try:
        with transaction.atomic():
            crawler.stream = stream or create_stream(owner=owner, meta={"name": crawler.name})
            crawler.save()
            if schedule is not None:
                crawler_schedules.plan(crawler=crawler, schedule=schedule)
    except IntegrityError as error:
        if "crawler_one_a_stream" not in str(error):
            raise
        raise Conflict("The stream has a crawler already.") from None
    return crawler


def change_crawler(*, crawler: Crawler, values: Mapping[str, Any]) -> Crawler:
    """`values` may have meta, params, credential and schedule, each as it is to be from now on."""
    with transaction.atomic():
        if "meta" in values:
            crawler.meta = dict(values["meta"])
        if "params" in values or "credential" in values:
            credential = values["credential"] if "credential" in values else crawler.secrets.get("credential")
            before = all_params(crawler)
            _set_values(crawler, _unmasked(values.get("params", before), before), credential)
        crawler.version = F("version") + 1
        crawler.save(update_fields=["meta", "params", "secrets", "version"])
        if "schedule" in values:
            crawler_schedules.plan(crawler=crawler, schedule=values["schedule"])
    crawler.refresh_from_db()
    return crawler


def delete_crawler(*, crawler: Crawler) -> None:
    """Its running task is stopped, and what its tasks brought in stays in the stream."""
    with transaction.atomic():
        crawler_schedules.plan(crawler=crawler, schedule=None)
        Crawler.objects.filter(pk=crawler.pk).update(removed_at=timezone.now(), version=F("version") + 1)
    for task in Task.objects.filter(crawler=crawler, ended_at__isnull=True, removed_at__isnull=True):
        stop_task(task=task, message="The crawler was deleted.")


def all_params(row: Crawler | Task) -> dict[str, Any]:
    """The secret ones, too."""
    return {**row.params, **row.secrets.get("params", {})}


def checked_params(*, external: External, params: Mapping[str, Any]) -> dict[str, Any]:
    """With defaults. Raises `Rejected` with each fault."""
    values = complete(external.parameters, params)
    refuse(faults_of_values(external.parameters, values))
    return values


def split_params(*, external: External, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that may be shown, and the secret ones."""
    secret = secret_names(external.parameters)
    return {n: v for n, v in params.items() if n not in secret}, {n: v for n, v in params.items() if n in secret}


def _set_values(crawler: Crawler, params: Mapping[str, Any], credential: Any) -> None:
    external = crawler.external
    values = checked_params(external=external, params=params)
    kept = _checked_credential(external, credential)
    crawler.params, secret = split_params(external=external, params=values)
    crawler.secrets = {"params": secret, "credential": kept}


def _checked_credential(external: External, credential: Any) -> Any:
    """What is to be kept of it: as it was given, or nothing. Raises `Rejected`."""
    match external.credential:
        case External.Credential.IGNORE:
            return None
        case External.Credential.NONE:
            if credential not in (None, {}, ""):
                refuse([Fault("/credential", "This external takes no credential.")])
            return None
        case External.Credential.BASIC:
            given = credential if isinstance(credential, Mapping) else {}
            refuse(
                [
                    Fault(f"/credential/{name}", "Must be a text that is not empty.")
                    for name in ("username", "password")
                    if not isinstance(given.get(name), str) or not given[name]
                ]
            )
        case External.Credential.OAUTH:
            if not isinstance(credential, str | Mapping) or not credential:
                refuse([Fault("/credential", "Must be a token, or an object that holds one.")])
    return credential
