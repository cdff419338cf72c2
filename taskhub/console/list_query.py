"""The query of a page that lists something: checked as that of the call is which lists the same."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest
from rest_framework.exceptions import ValidationError

from taskhub.console.console_view import entries_of, without_empty
from taskhub.errors import Problem
from taskhub.web.cursor_pagination import RowPage
from taskhub.web.problems import as_problem
from taskhub.web.query_values import query_values
from taskhub.web.views import QuerySerializer

Filters = TypeVar("Filters", bound=QuerySerializer)


@dataclass
class ListQuery:
    """The page of a list that a request asks for; `faults` say why there is none. `more` is the query of the next."""

    page: RowPage
    values: Any
    faults: list[str] = field(default_factory=list)

    @property
    def more(self) -> str:
        reached = self.page.reached or (self.page.rows[-1].pk if self.page.rows else None)
        if not self.page.has_next or reached is None:
            return ""
        return urlencode([(name, text) for name, texts in self.values.lists() for text in texts] + [("after", reached)])

    @property
    def is_filtered(self) -> bool:
        return bool(self.values)


def read_list(
    request: HttpRequest, filters: type[Filters], lists: Collection[str], read: Callable[[Filters], RowPage]
) -> ListQuery:
    """What `read` makes of the validated filters in the query, of which `lists` may be given several times."""
    values = without_empty(request.GET)
    values.pop("after", None)  # the position in the list, which `read` knows
    try:
        checked = filters(data=query_values(values, lists))
        checked.is_valid(raise_exception=True)
        return ListQuery(read(checked), values)
    except (Problem, ValidationError) as error:
        return ListQuery(RowPage([], False, False), values, entries_of(as_problem(error)))
