"""What the operator's pages of all apps have in common: no list reads, counts or searches a whole table."""

import json
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskhub.audit.services import record_change
from taskhub.errors import Problem, Rejected
from taskhub.security.masking import mask, mask_value, secrets_of

COUNTED_MAX = 10_000
REFUSALS_MAX = 20  # of an action, that are told
EACH_MAX = 500  # rows that an action looks at while the page waits
SHOWN_MAX = 100_000  # characters
NAMED_MAX = 100  # rows, on a page that asks

Action = Callable[[Any, HttpRequest, Any], HttpResponse | None]


def row_action(description: str, *needs: str, asks: bool = False) -> Callable[[Action], Action]:
    """Makes a method of a page, which takes a request and the chosen rows, an action of its list.

    Each of `needs` is a permission that lets do it, such as `runs.change_run`. One that deletes or starts work `asks`
    first.
    """

    def decorate(act: Action) -> Action:
        @wraps(act)
        def ask_and_act(page: "BigTableAdmin", request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
            if asks and "post" not in request.POST:
                again = ("action", "select_across", ACTION_CHECKBOX_NAME)
                return page.ask(request, rows, description, [(n, v) for n in again for v in request.POST.getlist(n)])
            return act(page, request, rows)

        for name, value in (("short_description", description), ("needs", needs), ("asks", asks)):
            setattr(ask_and_act, name, value)
        return ask_and_act

    return decorate


class UncountedPaginator(Paginator):
    """Counts no further than some pages deep: counting a big table takes longer than reading a page of it."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[:COUNTED_MAX])


class BigTableAdmin(admin.ModelAdmin):
    """`search_ids` are the columns in which a whole UUID is looked for; Django's own search would cast each row's.
    `linked_by` are the lookups by which other pages link to this list. `unlisted` are columns that may be large, and
    that the list does not show. `recorded_as` is the kind of its rows in the audit log, if not the name of the model;
    None where the services by which they are changed tell it.
    that the list does not show. `console_page` is the name of the console's page of a row, and the column of its id.
    """

    paginator = UncountedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    search_ids: ClassVar[tuple[str, ...]] = ()
    linked_by: ClassVar[tuple[str, ...]] = ()
    unlisted: ClassVar[tuple[str, ...]] = ()
    recorded_as: ClassVar[str | None] = ""
    console_page: ClassVar[tuple[str, str] | None] = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match is None or not request.resolver_match.kwargs.get("object_id")
        return rows.defer(*self.unlisted) if is_list else rows

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """The address of a row's page in the console."""
        if obj is None or self.console_page is None:
            return None
        name, column = self.console_page
        return reverse(f"console:{name}", args=[getattr(obj, column)])

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Links and filters only: a look-up of the beginning of a masked value would tell it letter by letter."""
        items: Any = self.get_list_filter(request)
        filters = [f"{item}__exact" if isinstance(item, str) else item.parameter_name for item in items]
        return lookup in {*self.linked_by, *filters}

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_fields or self.search_ids

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        id = _parse_id(search_term)
        if id and self.search_ids:
            return queryset.filter(Q.create([(name, id) for name in self.search_ids], connector=Q.OR)), False
        if search_term and not self.search_fields:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def get_actions(self, request: HttpRequest) -> Any:
        """Those whose permission the user has."""
        actions: dict[str, Any] = super().get_actions(request)
        return {
            name: entry
            for name, entry in actions.items()
            if any(map(request.user.has_perm, getattr(entry[0], "needs", ()))) or not hasattr(entry[0], "needs")
        }

    # What no service tells the audit log, these do.

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        if self.recorded_as is not None:
            fields = [name for name in form.changed_data if name in form.cleaned_data]
            before = None if add else {name: shown_value(form.initial.get(name)) for name in fields}
            after = {name: shown_value(form.cleaned_data[name]) for name in fields}
            self._record("create" if add else "change", form.instance, before, after)
        return super().construct_change_message(request, form, formsets, add)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        if self.recorded_as is not None:
            for row in queryset:
                self._record("delete", row)
        return super().log_deletions(request, queryset)

    def _record(self, action: str, row: Any, before: Any = None, after: Any = None) -> None:
        kind, owner_id = self.recorded_as or str(self.opts.verbose_name), getattr(row, "owner_id", None)
        record_change(action, kind, row.pk, str(row), owner_id=owner_id, before=before, after=after)

    def ask(
        self, request: HttpRequest, rows: QuerySet[Any], description: str, fields: list[tuple[str, str]], back: str = ""
    ) -> HttpResponse:
        """The page that asks whether something is meant. Its button sends the fields, and `post`, to the same address;
        `back` is where the other one leads, if not there.
        """
        chosen = list(rows[: NAMED_MAX + 1])
        context = {
            **self.admin_site.each_context(request),
            "title": "Are you sure?",
            "opts": self.opts,
            "description": description,
            "rows": chosen[:NAMED_MAX],
            "more": len(chosen) > NAMED_MAX,
            "fields": fields,
            "back": back,
        }
        return TemplateResponse(request, "admin/ask.html", context)

    def response_action(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        """Raises `Rejected` for what cannot be a row's key."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(key)
            except ValidationError:
                raise Rejected(f"{key!r} is not the key of a row.") from None
        return super().response_action(request, *args, **options)

    def each(self, request: HttpRequest, rows: Iterable[Any], act: Callable[[Any], Any], done: str) -> None:
        """An action on the chosen rows, one after the other; what refuses it is told, and stops no other. Where nobody
        could wait for so many rows, it is done to none."""
        first = list(rows[: EACH_MAX + 1] if isinstance(rows, QuerySet) else islice(rows, EACH_MAX + 1))
        if len(first) > EACH_MAX:
            words = f"Nothing was done: these are more than {EACH_MAX} rows, choose fewer at once."
            self.message_user(request, words, messages.ERROR)
            return
        refusals = []
        for row in first:
            try:
                act(row)
            except Problem as problem:
                refusals.append(f"{row}: {problem.detail}")
        for refusal in refusals[:REFUSALS_MAX]:
            self.message_user(request, refusal, messages.WARNING)
        if more := len(refusals[REFUSALS_MAX:]):
            self.message_user(request, f"{more} more were refused.", messages.WARNING)
        self.message_user(request, f"{len(first) - len(refusals)} {done}.")


class ReadOnlyAdmin(BigTableAdmin):
    """What others write: people look at it, and may delete."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WatchedAdmin(ReadOnlyAdmin):
    """What the hub writes: people look at it here; to delete is an action, which takes what belongs to it along."""

    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.filter(removed_at__isnull=True) if hasattr(self.model, "removed_at") else rows

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def shown_value(value: Any) -> Any:
    """A value of a form as the audit log keeps it: rows by their names."""
    if isinstance(value, QuerySet | list | tuple):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def row_link(page: str, pk: Any, text: Any = "") -> SafeString:
    """A link to the page of a row. `page` is app and model, such as `runs_run`; without a text the key is shown."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[pk]), text or pk)


def list_link(page: str, text: str, **conditions: Any) -> SafeString:
    """A link to the list of rows that meet the conditions; `page` is app and model, such as `runs_run`."""
    address = f"{reverse(f'admin:{page}_changelist')}?{urlencode(conditions)}"
    return format_html('<a href="{}">{}</a>', address, text)


def text_block(text: str) -> SafeString:
    """A text as it is, cut where it is very long, without what looks like a key or a token."""
    shown = text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}\n... ({len(text)} characters)"
    return format_html("<pre>{}</pre>", mask(shown))


def json_block(value: Any, secrets: frozenset[str] | None = None) -> SafeString:
    """A JSON value, indented, without its secrets; `secrets` are those of something larger that it belongs to."""
    secrets = secrets_of(value) if secrets is None else secrets
    return text_block(json.dumps(mask_value(value, secrets), indent=2, ensure_ascii=False, default=str))


def unbroken(text: Any) -> SafeString:
    """A text on one line: an id that is broken at its hyphens would make each row of a list four lines high."""
    return format_html('<span class="unbroken">{}</span>', text)


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
