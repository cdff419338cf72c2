"""`/console/notifications`: rules of what is told to whom, made, changed, tried and deleted; and their messages."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.console.console_view import ConsoleView, list_position, uuid_position
from taskhub.console.list_query import read_list
from taskhub.console.rule_entry import RuleEntry, initial_rule
from taskhub.console.saved_forms import save_forms, version_check
from taskhub.errors import Conflict, Forbidden, NotFound, Rejected, TooMany, invalid
from taskhub.runs.models import NotificationRule
from taskhub.runs.notifications import services
from taskhub.runs.notifications.serializers import (
    CHANGES,
    EVENTS,
    SENT,
    RuleFilters,
    serialize_messages,
    serialize_rule,
)
from taskhub.runs.queue import retry
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import RowPage, read_page

RULES, MESSAGES = 50, 20  # on one page


class RuleListView(ConsoleView):
    """Rules, newest first, filtered as `GET /notifications` is."""

    def get(self, request: HttpRequest) -> HttpResponse:
        def read(filters: RuleFilters) -> RowPage:
            rules = NotificationRule.objects.visible_to(request.user).select_related("owner")
            narrowed = services.narrow_rules(rules, **filters.validated_data)
            return read_page(narrowed, "-id", RULES, after=list_position(request))

        listed = read_list(request, RuleFilters, {"on"}, read)
        rules = [(rule, serialize_rule(rule, request.user)) for rule in listed.page.rows]
        return render(request, "console/rules.html", {"listed": listed, "rules": rules, "events": EVENTS})


class NewRuleView(ConsoleView):
    is_form = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return _form(request, RuleEntry(viewer=request.user, initial={"email": getattr(request.user, "email", "")}))

    def post(self, request: HttpRequest) -> HttpResponse:
        entry = RuleEntry(request.POST, viewer=request.user)

        def create() -> NotificationRule:
            return services.create_rule(owner=request.user, values=SENT.check(entry.values))

        return _save(request, entry, create, "The rule is made. Try it.")


class ChangeRuleView(ConsoleView):
    is_form = True

    def get(self, request: HttpRequest, rule_id: int) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        return _form(
            request, RuleEntry(viewer=request.user, initial=initial_rule(serialize_rule(rule, request.user))), rule
        )

    def post(self, request: HttpRequest, rule_id: int) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        entry = RuleEntry(request.POST, viewer=request.user)

        def change() -> NotificationRule:
            values = entry.values
            checked = CHANGES.check(values)
            kept = {name: value for name, value in checked.items() if name in values}
            check = version_check(request)
            return services.change_rule(rule_id=rule_id, user=request.user, values=kept, check_version=check)

        return _save(request, entry, change, "The rule is changed.", rule)


def _save(
    request: HttpRequest,
    entry: RuleEntry,
    save: Callable[[], NotificationRule],
    done: str,
    rule: NotificationRule | None = None,
) -> HttpResponse:
    return save_forms(
        request,
        [entry],
        save,
        add_problem=entry.add_problem,
        page=partial(_form, request, entry, rule),
        address=lambda saved: _address(saved.pk),
        done=done,
    )


def _form(
    request: HttpRequest, entry: RuleEntry, rule: NotificationRule | None = None, status: int = 200, **more: Any
) -> HttpResponse:
    terms = ("slow_after", "late_after", "quiet", "all_owners", "enabled")
    context = {
        "entry": entry,
        "rule": rule,
        "version": request.POST.get("version") or (rule and services.version_of(rule)),
        "panels": [[entry["email"]], [entry["webhook"]]],
        "filters": [entry[name] for name in ("run_kind", "run_name", "tag", "schedule")],
        "terms": [entry[name] for name in terms if name in entry.fields],
    }
    return render(request, "console/rule_form.html", context | more, status=status)


class RulePageView(ConsoleView):
    """One rule, and what it has sent."""

    def get(self, request: HttpRequest, rule_id: int) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        after = uuid_position(request)
        page = read_page(services.messages_of(rule), "-delivery_id", MESSAGES, after=after)
        context = {
            "rule": rule,
            "shown": serialize_rule(rule, request.user),
            "sent": list(zip(page.rows, serialize_messages(page.rows, request.user), strict=True)),
            "is_first": after is None,
            "older": page.rows[-1].pk if page.has_next else None,
            "webhook_kind": WEBHOOK,
        }
        return render(request, "console/rule.html", context)


def _test(rule: NotificationRule) -> str:
    count = len(services.send_test(rule=rule))
    return f"{count} {'message is' if count == 1 else 'messages are'} sent: see below what came of it."


def _pause(rule: NotificationRule) -> str:
    services.enable_rule(rule=rule, enabled=False)
    return "The rule is paused."


def _resume(rule: NotificationRule) -> str:
    services.enable_rule(rule=rule, enabled=True)
    return "The rule tells again."


RULE_ACTIONS: dict[str, Callable[[NotificationRule], str]] = {"test": _test, "pause": _pause, "resume": _resume}


class RuleActionView(ConsoleView):
    """Tries a rule, or pauses or resumes it."""

    @property
    def role_scope(self) -> KeyScope:  # type: ignore[override]
        """To try it is to send something again; to pause it is to change it."""
        return KeyScope.RUN if self.request.POST.get("action") == "test" else KeyScope.MANAGE

    def post(self, request: HttpRequest, rule_id: int) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        act = RULE_ACTIONS.get(request.POST.get("action", ""))
        if act is None:
            raise invalid("/action", "There is no such action.")
        _tell(request, lambda: act(rule))
        return HttpResponseRedirect(_address(rule_id))


class SendMessageView(ConsoleView):
    """Sends a message of a rule again, to the same receiver."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, rule_id: int, run_id: Any) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        message = services.messages_of(rule).filter(pk=run_id).first()
        if message is None:
            raise NotFound(f"There is no message {run_id} of this rule.")

        def send() -> str:
            retry(run=message.delivery)
            return "It is sent again."

        _tell(request, send)
        return HttpResponseRedirect(_address(rule_id))


class DeleteRuleView(ConsoleView):
    def post(self, request: HttpRequest, rule_id: int) -> HttpResponse:
        rule = services.visible_rule(rule_id=rule_id, user=request.user)
        services.delete_rule(rule=rule)
        messages.success(request, f"The rule {rule.name} is deleted. What it has sent stays among the runs.")
        return HttpResponseRedirect(reverse("console:notifications"))


def _tell(request: HttpRequest, act: Callable[[], str]) -> None:
    """Does something and says so; or what refuses it."""
    try:
        messages.success(request, act())
    except (Conflict, Forbidden, Rejected, TooMany) as refusal:
        messages.error(request, refusal.detail)


def _address(rule_id: int) -> str:
    return reverse("console:notifications-rule", args=[rule_id])
