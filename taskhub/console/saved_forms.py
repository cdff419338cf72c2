"""Forms that store something: what becomes of what was sent, also where somebody else was first.

A form of something that there is has the version with which it was opened: `console/version.html`.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from taskhub.errors import PreconditionFailed, Problem
from taskhub.security.fingerprints import CheckVersion, Version

Saved = TypeVar("Saved")


def save_forms(
    request: HttpRequest,
    forms: Sequence[BaseForm],
    save: Callable[[], Saved],
    *,
    add_problem: Callable[[Problem], None],
    page: Callable[..., HttpResponse],
    address: Callable[[Saved], str],
    done: str,
) -> HttpResponse:
    """Stores what was sent, says `done`, and leads to its address.

    Or it gives `page(status=..., **context)`: the forms again, with what is wrong, which `add_problem` shows in them;
    or with the word that somebody has changed it meanwhile, so that it is saved over theirs when it is sent again.
    """
    if not all(form.is_valid() for form in forms):
        return page(status=HTTPStatus.BAD_REQUEST)
    try:
        saved = save()
    except PreconditionFailed as problem:
        return page(status=HTTPStatus.CONFLICT, version=problem.members["version"], is_changed=True)
    except Problem as problem:
        add_problem(problem)
        return page(status=problem.status)
    messages.success(request, done)
    return HttpResponseRedirect(address(saved))


def version_check(request: HttpRequest) -> CheckVersion:
    """What refuses another version than the one with which the form that was sent was opened."""
    meant = request.POST.get("version", "")

    def check(present: Version) -> None:
        if meant and meant != str(present):
            raise PreconditionFailed(version=present)

    return check
