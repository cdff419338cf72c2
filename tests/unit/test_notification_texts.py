"""E-mails of notifications: what they say, to whom they may go, and by which server."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.outbound.mail_server import MailServer, read_address
from taskhub.runs.notifications.domain import html_text, one_line, plain_text, subject_of, why_not_sent

RUN = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
    "kind": "walker",
    "name": "echo",
    "state": "FAILURE",
    "error": {"type": "KeyError", "message": "'customer'", "where": "shop/walkers.py:7"},
    "tags": ["nightly", "shop"],
    "schedule": "",
    "due_at": None,
    "url": "https://hub.example.com/runs/0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
}
FAILED = {
    "title": "walker echo failed: KeyError: 'customer'",
    "rule": {"id": 7, "name": "nightly"},
    "held_back": 0,
    "run": RUN,
}
WORDS = {"owner": "ada@example.com", "public_url": "https://hub.example.com"}
TEXT = """walker echo failed: KeyError: 'customer'.

Kind:  walker
Name:  echo
State: FAILURE
Tags:  nightly, shop
Id:    0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70
Error: KeyError: 'customer'
Where: shop/walkers.py:7

https://hub.example.com/runs/0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70

--\x20
This is sent by the notification rule "nightly" of ada@example.com. \
To change or delete it: https://hub.example.com/console/notifications/7
"""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)
        self.links += [value for name, value in attrs if name == "href"]


def tags_of(markup: str) -> Tags:
    parser = Tags()
    parser.feed(markup)
    return parser


def test_the_text_says_what_happened_and_why_it_came() -> None:
    assert subject_of(FAILED) == "[taskhub] walker echo failed: KeyError: 'customer'"
    assert plain_text(FAILED, **WORDS) == TEXT


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 more like this was held back since the last message."),
        (5, "5 more like this were held back since the last message."),
    ],
)
def test_what_was_held_back_is_counted(count: int, words: str) -> None:
    held = {**FAILED, "held_back": count}
    assert words in plain_text(held, **WORDS)
    assert words in html_text(held, **WORDS)


def test_other_facts_are_told_by_their_names() -> None:
    late = {
        "title": "The queue walkers is late",
        "rule": FAILED["rule"],
        "held_back": 0,
        "queue": {"name": "walkers", "waiting_since": "2026-01-31T12:00:00Z"},
    }
    assert "Queue name:          walkers\nQueue waiting since: 2026-01-31T12:00:00Z\n" in plain_text(late, **WORDS)
    assert tags_of(html_text(late, **WORDS)).links == []


HOSTILE = st.text(st.sampled_from("ab\r\n\t\0<>&\"'\u2028\u202e\x85é:/"), max_size=40)


@given(title=HOSTILE, name=HOSTILE, message=HOSTILE)
def test_nothing_of_a_message_is_markup_or_a_line_of_its_own(title: str, name: str, message: str) -> None:
    run = {**RUN, "name": name, "error": {"type": "E", "message": message}}
    data = {**FAILED, "title": title, "rule": {"id": 7, "name": name}, "run": run}
    subject = subject_of(data)
    assert subject.isprintable()
    assert len(subject) < 200
    lines = plain_text(data, **WORDS).splitlines()
    assert len(lines) <= len(TEXT.splitlines())
    tags = tags_of(html_text(data, **WORDS))
    assert set(tags.found) <= {"html", "body", "p", "strong", "table", "tr", "th", "td", "a", "hr", "small"}
    assert tags.links == [RUN["url"]]


def test_a_long_title_is_cut() -> None:
    assert subject_of({"title": "x" * 1000}) == f"[taskhub] {'x' * 150}..."
    assert one_line("a\r\nBcc: b@example.com") == "a Bcc: b@example.com"


OWN = "ada@example.com"


@pytest.mark.parametrize(
    ("address", "own_counts", "domains", "may"),
    [
        (OWN, True, [], True),
        ("ADA@example.com", True, [], True),
        (OWN, False, [], False),  # where anybody may sign up with any address
        (OWN, False, ["example.com"], True),
        ("bob@example.com", True, [], False),
        ("bob@example.com", True, ["example.org"], False),
        ("bob@sub.example.com", True, ["example.com"], False),
        ("bob@example.com", True, ["*"], True),
        ("bob@example.com.evil.org", True, ["example.com"], False),
    ],
)
def test_who_may_be_sent_an_email(address: str, own_counts: bool, domains: list[str], may: bool) -> None:
    assert bool(why_not_sent(address, own=OWN, own_counts=own_counts, domains=domains)) is not may


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.L+x@EXAMPLE.com", "Ada.L+x@example.com"),
        ("ada@büro.example", "ada@xn--bro-hoa.example"),
        ("o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert read_address(text) == address


NO_ADDRESSES = [
    *("", "ada", "@example.com", "ada@", "ada@127.0.0.1", "ada@[127.0.0.1]", "ada@[::1]", "a b@example.com"),
    *("ada@example.com\r\nRCPT TO:<b@example.com>", "ada@example.com,b@example.com", "<ada@example.com>", "a..b@x.org"),
    *('"a b"@example.com', "ada@exa mple.com", ".a@example.com", "ä@example.com", "a@b@example.com", "ada@0x7f.1"),
    *("a" * 65 + "@example.com", "ada@" + "x" * 300, "Ada <ada@example.com>", "ada@example.com>", "ada\0@example.com"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        read_address(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_an_address_is_never_more_than_one_word(local: str, domain: str) -> None:
    try:
        address = read_address(f"{local}@{domain}")
    except ValueError:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>,;:"\\()[]')


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("log:", MailServer("log")),
        ("log://", MailServer("log")),
        ("smtp://mail", MailServer("smtp", "mail", 25)),
        ("smtp://mail:2525/", MailServer("smtp", "mail", 2525)),
        ("smtps://mail", MailServer("smtps", "mail", 465)),
        ("smtp+starttls://mail", MailServer("smtp+starttls", "mail", 587)),
        ("smtps://a%40b:p%2Fw%3A@[::1]:465", MailServer("smtps", "::1", 465, "a@b", "p/w:")),
    ],
)
def test_mail_servers(url: str, server: MailServer) -> None:
    assert MailServer.parse(url) == server
    assert "p/w:" not in repr(server) + str(server)


@pytest.mark.parametrize(
    "url",
    [
        *("mail", "http://mail", "smtp://", "smtp:mail", "smtp://mail:99999", "smtp://mail:x", "smtp://mail/path"),
        *(
            "smtp://mail?tls=true",
            "smtp://user@mail",
            "smtp://:secret@mail",
            "smtp://ma il",
            "smtp+tls://mail",
            "smtp://user:p%C3%A4ss@mail",
        ),
    ],
)
def test_what_names_no_mail_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        MailServer.parse(url)
    assert "secret" not in str(refusal.value)
