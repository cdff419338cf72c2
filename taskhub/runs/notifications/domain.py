"""Notifications as e-mails say them, and who may be sent one. Pure."""

from collections.abc import Collection, Iterator, Mapping
from html import escape
from typing import Any

SUBJECT_LENGTH_MAX = 150
VALUE_MAX = 2000  # characters of one value
_RUN_FIELDS = (
    *(
        "kind",
        "name",
        "state",
        "schedule",
        "due_at",
        "tags",
        "attempt",
        "created_at",
        "started_at",
        "finished_at",
        "id",
    ),
)

Fact = tuple[str, str]  # a name and a value


def why_not_sent(address: str, *, own: str, own_counts: bool, domains: Collection[str]) -> str:
    """Why a user who is no staff may not send to an address; empty where he may.

    `own` is the address of his account, which counts where somebody else has seen to it that it is his; `domains` are
    those to which everybody may send, `*` is any.
    """
    domain = address.rpartition("@")[2].lower()
    if "*" in domains or domain in domains:
        return ""
    if address.lower() != own.lower():
        return "You may send to your own address, and to the domains that the operator allows (TASKHUB_EMAIL_DOMAINS)."
    if own_counts:
        return ""
    return (
        "You wrote down your account's address yourself, which does not prove that it is yours. You may send to the "
        "domains that the operator allows (TASKHUB_EMAIL_DOMAINS), and to your address once staff has confirmed it."
    )


def one_line(text: str) -> str:
    """A text without what could begin another line, or another header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def subject_of(data: Mapping[str, Any]) -> str:
    title = one_line(str(data["title"]))
    return f"[taskhub] {title}" if len(title) <= SUBJECT_LENGTH_MAX else f"[taskhub] {title[:SUBJECT_LENGTH_MAX]}..."


def plain_text(data: Mapping[str, Any], *, owner: str, public_url: str) -> str:
    """The e-mail of a message as plain text."""
    facts = list(_facts(data))
    width = max((len(name) for name, _ in facts), default=0) + 2
    lines = [f"{name + ':':{width}}{value}" for name, value in facts]
    parts = [f"{one_line(str(data['title']))}.", *_held_back(data), "\n".join(lines), _link(data)]
    return "\n\n".join(part for part in [*parts, f"-- \n{_reason(data, owner, public_url)}"] if part) + "\n"


def html_text(data: Mapping[str, Any], *, owner: str, public_url: str) -> str:
    """The same as HTML, in which nothing of the message is markup."""
    rows = "".join(
        f'<tr><th align="left" valign="top">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in _facts(data)
    )
    link = escape(_link(data), quote=True)
    parts = [
        f"<p><strong>{escape(one_line(str(data['title'])))}.</strong></p>",
        *(f"<p>{escape(text)}</p>" for text in _held_back(data)),
        f'<table cellpadding="4">{rows}</table>' if rows else "",
        f'<p><a href="{link}">{link}</a></p>' if link else "",
        f"<hr><p><small>{escape(_reason(data, owner, public_url))}</small></p>",
    ]
    return f'<!DOCTYPE html>\n<html lang="en"><body>\n{chr(10).join(part for part in parts if part)}\n</body></html>\n'


def _facts(data: Mapping[str, Any]) -> Iterator[Fact]:
    """What is known of an event, a line each; what is empty is left out."""
    run = data.get("run") or {}
    error = run.get("error") or {}
    pairs: list[tuple[str, Any]] = [(name.replace("_", " "), run.get(name)) for name in _RUN_FIELDS]
    if error:
        pairs += [("error", f"{error.get('type')}: {error.get('message')}"), ("where", error.get("where"))]
    for group in sorted(data.keys() - {"title", "rule", "held_back", "run"}):
        members = data[group] if isinstance(data[group], Mapping) else {"": data[group]}
        pairs += [(f"{group} {name}".strip().replace("_", " "), value) for name, value in members.items()]
    for name, value in pairs:
        if value not in (None, "", [], {}):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield one_line(name).capitalize(), one_line(text)[:VALUE_MAX]


def _link(data: Mapping[str, Any]) -> str:
    return str((data.get("run") or {}).get("url") or "")


def _held_back(data: Mapping[str, Any]) -> list[str]:
    count = data.get("held_back") or 0
    if not count:
        return []
    return [f"{count} more like this {'was' if count == 1 else 'were'} held back since the last message."]


def _reason(data: Mapping[str, Any], owner: str, public_url: str) -> str:
    rule = data["rule"]
    return (
        f'This is sent by the notification rule "{one_line(str(rule["name"]))}" of {owner}. '
        f"To change or delete it: {public_url}/console/notifications/{rule['id']}"
    )
