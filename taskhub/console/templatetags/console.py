"""Template tags and filters of the console: moments, durations, states and progress."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from crawlers.domain.task_status import CANCELLED, DONE, NEW, succeeded
from sequences.services.sequence_runs import may_run
from taskhub.accounts import roles
from taskhub.runs.domain import State
from taskhub.runs.run_kinds import target_of
from taskhub.security.scopes import KeyScope

register = template.Library()

NAVIGATION = (
    ("home", "Home"),
    ("runs", "Runs"),
    ("start", "Start"),
    ("sequences", "Sequences"),
    ("schedules", "Schedules"),
    ("crawlers", "Crawlers"),
    ("streams", "Streams"),
    ("extraction", "Extraction"),
    ("webhooks", "Webhooks"),
    ("notifications", "Notifications"),
)  # names of addresses; those that begin alike belong to the same place
# Whether a place is for who looks, of those that are not for everybody who has signed in.
MAY_OPEN: dict[str, Callable[[Any], bool]] = {
    "sequences": lambda user: may_run(user) and roles.may(user, KeyScope.RUN, user.pk),
    "start": lambda user: roles.may(user, KeyScope.RUN, user.pk),
}
YOU = (
    ("you", "Account"),
    ("you-keys", "API keys"),
    ("you-secrets", "Secrets"),
    ("you-sessions", "Sessions"),
    ("password", "Password"),
    ("you-second-factor", "Second factor"),
)
STATUS_MAX = 80  # characters
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@register.simple_tag(takes_context=True)
def navigation(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The places of the console, and in which of them this page is."""
    request = context["request"]
    match = request.resolver_match
    here = match.url_name.split("-")[0] if match and match.url_name else ""
    return [
        {"address": reverse(f"console:{name}"), "label": label, "is_here": name == here}
        for name, label in NAVIGATION
        if MAY_OPEN.get(name, lambda user: True)(request.user)
    ]


@register.simple_tag(takes_context=True)
def navigation_of_you(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The places of the own account, and in which of them this page is."""
    match = context["request"].resolver_match
    here = match.url_name if match else ""
    return [{"address": reverse(f"console:{name}"), "label": label, "is_here": name == here} for name, label in YOU]


@register.simple_tag(takes_context=True)
def may(context: Mapping[str, Any], scope: str, owner_id: Any) -> bool:
    """Whether who looks may make calls of a scope about what this owner has: a button for them is shown to nobody else.

    With the id of who looks as `owner_id`: whether there is anything of which he may.
    """
    return roles.may(context["user"], KeyScope(scope), owner_id)


@register.filter
def role(user: Any) -> str:
    """The role of a user, in a word; empty for who is no staff."""
    if not user.is_staff:
        return ""
    return "superuser" if user.is_superuser else str(roles.role_of(user) or "staff without a role")


@register.filter
def seconds(value: Any) -> str:
    """A length of time in seconds, as people say it: `4 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`."""
    if value is None:
        return ""
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if number < 1:
        return f"{max(number, 0) * 1000:.0f} ms"
    if number < 60:
        return f"{value} s" if isinstance(value, int) else f"{number:.1f} s"
    index = next(index for index, (_, size) in enumerate(UNITS) if number >= size)
    (unit, size), (smaller, smaller_size) = UNITS[index], UNITS[index + 1]
    whole, rest = divmod(int(number), size)
    rest //= smaller_size
    return f"{whole} {unit} {rest} {smaller}" if rest else f"{whole} {unit}"


@register.filter
def duration(run: Any) -> str:
    """How long a run has taken, or has gone on by now; empty for one that has not begun."""
    return seconds((run.finished_at or timezone.now()) - run.started_at) if run.started_at else ""


@register.filter
def waited(run: Any) -> str:
    """How long a run waited until it began, or has waited by now."""
    return seconds((run.started_at or run.finished_at or timezone.now()) - run.created_at)


@register.filter
def whole(moment: datetime) -> str:
    """A moment with its zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


@register.filter
def wall_clock(moment: datetime) -> str:
    """A moment as a clock and a calendar of its zone show it."""
    return moment.strftime(f"%a %Y-%m-%d %H:%M{':%S' if moment.second else ''} %Z").rstrip()


@register.simple_tag
def ago(moment: datetime | None, empty: str = "") -> str | SafeString:
    """`2 min ago` or `in 3 h`, with the whole moment beside it."""
    if moment is None:
        return empty
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', moment.isoformat(), whole(moment), relative(moment)
    )


@register.filter
def relative(moment: datetime) -> str:
    distance = (timezone.now() - moment).total_seconds()
    unit, size = next(((unit, size) for unit, size in UNITS if abs(distance) >= size), UNITS[-1])
    count = int(abs(distance) // size)
    if abs(distance) < 5:
        return "now"
    return f"{count} {unit} ago" if distance > 0 else f"in {count} {unit}"


@register.simple_tag
def state(name: str) -> SafeString:
    """The state of a run, told by a word and not only by a colour."""
    return format_html('<span class="state state-{}">{}</span>', name, name.lower())


@register.simple_tag
def task_status(task: Any) -> SafeString:
    """The status of a crawler task: its code and message, with the colour of the run's state that it stands for."""
    code = task.code
    name = State.PROGRESS if NEW < code < DONE else State.PENDING if code == NEW else State.FAILURE
    name = State.SUCCESS if succeeded(code) else State.REVOKED if code == CANCELLED else name
    words = f"{code} {task.message}".strip()
    words = words if len(words) <= STATUS_MAX else f"{words[:STATUS_MAX]}..."
    return format_html('<span class="state state-{}" title="{}">{}</span>', name, task.message, words)


@register.simple_tag
def progress_bar(run: Any) -> str | SafeString:
    """What a run tells of its progress; empty when it tells nothing, or has ended well."""
    progress = run.progress or {}
    done, total, message = progress.get("done"), progress.get("total"), str(progress.get("message") or "")
    if done is None and not message:
        return ""
    if not total:
        return format_html('<span class="progress">{}</span>', message or _number(done))
    return format_html(
        '<span class="progress"><progress value="{}" max="{}" aria-label="Progress"></progress> '
        "<small>{}</small></span>",
        done,
        total,
        message or f"{_number(done)}/{_number(total)}",
    )


def _number(value: Any) -> str:
    """A number without the digits that only tell how it was reckoned."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@register.simple_tag(takes_context=True)
def owner(context: Mapping[str, Any], person: Any, empty: str = "nobody") -> str | SafeString:
    """The e-mail address of whose something is; for staff with a link to their page."""
    if person is None:
        return empty
    if not context["user"].is_staff:
        return str(person.email)
    address = reverse("console:users-user", args=[person.pk])
    return format_html('<a class="address" href="{}" title="{}">{}</a>', address, person.email, person.email)


@register.simple_tag(takes_context=True)
def history(context: Mapping[str, Any], kind: str, object_id: object) -> str | SafeString:
    """A button to what the audit log has of an object, for staff, who alone may read it."""
    if not context["user"].is_staff:
        return ""
    query = urlencode({"kind": kind, "object": str(object_id)})
    return format_html('<a class="button" href="{}?{}">History</a>', reverse("console:audit"), query)


@register.filter
def pairs(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names and values; a template would take a key called `items` for the method."""
    return list(values.items())


@register.filter
def short(value: Any) -> str:
    """The last characters of an id, by which people tell rows apart; the first are the time."""
    return str(value)[-8:]


@register.filter
def first_paragraph(text: str) -> str:
    """What a description begins with, on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


@register.filter
def coded(text: Any) -> Any:
    """A text in which what stands between backticks is code."""
    parts = str(text).split("`")
    if len(parts) == 1 or len(parts) % 2 == 0:  # in which one backtick has no other
        return text
    marked = (format_html("<code>{}</code>", part) if number % 2 else part for number, part in enumerate(parts))
    return format_html_join("", "{}", ((part,) for part in marked))


@register.filter
def started_kind(schedule: Any) -> str:
    """The kind of runs that a schedule starts, or the task of what is not installed."""
    target = target_of(schedule.periodic.task)
    return target.kind if target else str(schedule.periodic.task)


@register.filter
def error_line(error: Any) -> str:
    """An error on one line."""
    return f"{error.get('type', '')}: {error.get('message', '')}".strip(": ") if error else ""
