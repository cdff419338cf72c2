"""Sends a sequence's `JAC` requests: calls of the walkers' registry in process, as the user named as `master`."""

import json
import logging
from typing import Any

from django.db import InterfaceError, OperationalError

from sequences.domain.exchange import StepResponse
from taskhub.accounts.models import User
from taskhub.accounts.roles import reaches_all
from taskhub.audit.origin import acting_as
from taskhub.errors import Forbidden, NotFound, Problem, Rejected
from taskhub.runs.models import Run
from taskhub.security.scopes import KeyScope
from taskhub.web.problems import problem_body
from walkers.domain.ids import as_id
from walkers.http.registry import call
from walkers.walks.principal import Principal

log = logging.getLogger(__name__)


class InProcessClient:
    """The interpreter's `jac`. `owner` is the owner of the sequence, `run` its run."""

    def __init__(self, owner: User | None, run: Run | None = None) -> None:
        self._owner, self._run = owner, run

    def call(self, name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
        """Makes a call, without `master` as nobody. Errors become responses, with the status that HTTP would give."""
        try:
            user = self._user(master)
            with acting_as(self._owner):  # who answers for what is done as another, too
                response = call(name, arguments, Principal(user, run=self._run))
        except Problem as problem:
            return StepResponse(problem.status, _json_copy(problem_body(problem)), problem.detail)
        except (OperationalError, InterfaceError):
            raise  # the run is tried again when the database is back
        except Exception:
            log.exception("The call %s of a sequence failed", name[:100])
            return StepResponse(500, None, "Something went wrong on our side; it is in the log.")
        return StepResponse(response.status, _json_copy(response.body))

    def _user(self, master: str | None) -> User | None:
        """Raises `Rejected`, `Forbidden` and `NotFound`."""
        if master is None:
            return None
        user_id = as_id(master)
        if user_id is None:
            raise Rejected("The master is no user's id.")
        if self._owner is None or (user_id != self._owner.pk and not reaches_all(self._owner, KeyScope.MANAGE)):
            raise Forbidden("Only the sequences of admins may call as somebody else.")
        user = User.objects.filter(pk=user_id, is_active=True).first()
        if user is None:
            raise NotFound("There is no active user with the master's id.")
        return user


def _json_copy(value: Any) -> Any:
    """What the value would be after HTTP."""
    return json.loads(json.dumps(value, default=str))
