"""Arguments of schedules. They stand in django-celery-beat's own column, with what is secret in them sealed."""

import json
from contextlib import suppress
from typing import Any

from django_celery_beat.models import PeriodicTask

from taskhub.errors import Rejected
from taskhub.security.sealed_values import seal, unseal


def arguments_of(periodic: PeriodicTask) -> Any:
    """The arguments of a periodic task. Raises `Rejected`."""
    try:
        return unseal(json.loads(periodic.kwargs or "{}"))
    except ValueError as error:
        raise Rejected(f"The arguments are not JSON: {error}") from None


def written_arguments(*, periodic: PeriodicTask, written: str) -> str:
    """The arguments as they were `written`, or as JSON where they came in another way than by the hub.

    Raises `Rejected`.
    """
    return written or json.dumps(arguments_of(periodic), ensure_ascii=False)


def as_stored(arguments: Any, secrets: frozenset[str] = frozenset()) -> str:
    """Arguments as they are stored; `secrets` are texts in them of which nothing else says that they are secret."""
    return json.dumps(seal(arguments, secrets), ensure_ascii=False)


def seal_arguments(*, periodic: PeriodicTask) -> None:
    """Seals the secrets in the arguments of a periodic task, with the newest key."""
    with suppress(Rejected):  # what is no JSON has no secrets that are known
        PeriodicTask.objects.filter(pk=periodic.pk).update(kwargs=as_stored(arguments_of(periodic)))
