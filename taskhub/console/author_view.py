"""What the pages of sequences have in common: they are for those who may run sequences, and show these their own."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase

from sequences.models import SequenceVersion
from sequences.services.sequence_runs import check_owner
from sequences.services.stored_sequences import find_version
from taskhub.console.console_view import ConsoleView


class AuthorView(ConsoleView):
    """A page for authors of sequences: staff, and those who have the permission."""

    def _refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        """Raises `Forbidden`, too."""
        refusal = super()._refusal(request)
        if refusal is None:
            check_owner(request.user)
        return refusal


def own_version(request: HttpRequest, name: str) -> SequenceVersion:
    """The version of a stored sequence that `version` in the query names, or the newest. Raises `NotFound`."""
    user: Any = request.user
    return find_version(user.pk, name, version_in_query(request))


def version_in_query(request: HttpRequest) -> int | None:
    """The number of a version in the query; None for the newest."""
    text = request.GET.get("version", "")
    return int(text) or None if text.isascii() and text.isdecimal() and len(text) < 10 else None
