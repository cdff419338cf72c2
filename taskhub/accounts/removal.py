"""Removes deleted accounts one after the other, each after what other apps hold for it.

An app registers a remover in `AppConfig.ready()`; accounts know none of them by name.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from taskhub.accounts.models import User

log = logging.getLogger(__name__)

# Removes a batch of what a user owns, and says how many rows; 0 when nothing is left.
Remover = Callable[[UUID], int]
ACCOUNTS_MAX = 10  # at a time

_removers: dict[str, Remover] = {}


def register(name: str, remover: Remover) -> None:
    _removers[name] = remover


def remove_deleted() -> int:
    """Removes a batch of everything for each of some deleted accounts, the account last; returns how many rows."""
    ids = User.with_deleted.filter(deleted_at__isnull=False).order_by("deleted_at").values_list("pk", flat=True)
    return sum(_remove(user_id) for user_id in ids[:ACCOUNTS_MAX])


def _remove(user_id: UUID) -> int:
    """Removes a batch of one account. One whose files cannot be reached must not keep the leader from the others."""
    try:
        return _remove_owned(user_id) or _remove_account(user_id)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("The deleted account %s could not be removed", user_id)
        return 0


def _remove_owned(user_id: UUID) -> int:
    return sum(remover(user_id) for remover in _removers.values())


@transaction.atomic
def _remove_account(user_id: UUID) -> int:
    # Whatever somebody still adds for the account waits for this lock, and then fails: nothing is left behind.
    User.with_deleted.select_for_update().get(pk=user_id)
    return _remove_owned(user_id) or User.with_deleted.filter(pk=user_id).delete()[0]
