"""Sessions of browsers: which somebody has, and that ending one ends it; in the console and over the API."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.browser_sessions import open_sessions
from taskhub.accounts.models import BrowserSession, User
from taskhub.console.session_pages import browser_name
from tests.conftest import Person

PASSWORD = "correct horse battery"
SESSIONS = "/console/you/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def signed_in(person: Person, user_agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    """A browser in which somebody has signed in by the form."""
    client = Client(headers={"User-Agent": user_agent}, REMOTE_ADDR=address)
    form = {"username": person.user.email, "password": PASSWORD}
    assert client.post("/sign-in", form).status_code == 302
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/console/runs").status_code == 200


def session_of(client: Client) -> BrowserSession:
    return BrowserSession.objects.get(session_key=client.session.session_key)


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES)


def test_sessions_say_which_browser_since_when_and_from_where(owner: Person, stranger: Person) -> None:
    this, other, _ = signed_in(owner), signed_in(owner, "curl/8.5.0", "198.51.100.9"), signed_in(stranger)
    page = this.get(SESSIONS).text
    rows = re.findall(r"<tr>\n(.*?)</tr>", page, re.S)
    assert len(rows) == 2  # of nobody else
    assert all(words in rows[1] for words in ("Firefox on Linux", "192.0.2.7", "this one", "Sign out"))
    assert all(words in rows[0] for words in ("curl/8.5.0", "198.51.100.9", "End it"))
    assert not [client for client in (this, other) if str(client.session.session_key) in page]


def test_an_ended_session_is_signed_out(owner: Person, stranger: Person) -> None:
    this, other, strange = signed_in(owner), signed_in(owner), signed_in(stranger)
    answer = this.post(f"{SESSIONS}/{session_of(other).sign_in_id}/end", follow=True)
    assert "its browser is signed out" in answer.text
    assert [is_signed_in(client) for client in (this, other)] == [True, False]
    assert "or it is not yours" in this.post(f"{SESSIONS}/{session_of(strange).sign_in_id}/end", follow=True).text
    assert is_signed_in(strange)


def test_all_other_sessions_are_ended(owner: Person, stranger: Person) -> None:
    this, others, strange = signed_in(owner), [signed_in(owner) for _ in range(2)], signed_in(stranger)
    assert "2 other sessions ended." in this.post(SESSIONS, {"action": "end-others"}, follow=True).text
    assert [is_signed_in(client) for client in (this, *others, strange)] == [True, False, False, True]
    assert "End all others" not in this.get(SESSIONS).text


def test_tokens_are_counted_and_ended(browser: Client, owner: Person, stranger: Person) -> None:
    AuthToken.objects.create(owner.user, expiry=timedelta(seconds=-1))
    assert "Programs are signed in by 1 token," in browser.get(SESSIONS).text
    assert "tokens ended" in browser.post(SESSIONS, {"action": "end-tokens"}, follow=True).text
    assert list(AuthToken.objects.values_list("user__email", flat=True)) == [stranger.user.email]
    assert browser.post(SESSIONS, {"action": "everything"}).status_code == 400


def test_a_session_keeps_its_id_when_its_key_changes(owner: Person) -> None:
    this, other = signed_in(owner), signed_in(owner)
    before = session_of(this)
    new = "battery horse correct"
    form = {"current_password": PASSWORD, "password": new, "repeated": new}
    assert this.post("/console/password", form).status_code == 302
    after = session_of(this)
    assert before.session_key != after.session_key
    assert (before.sign_in_id, before.signed_in_at) == (after.sign_in_id, after.signed_in_at)
    assert [is_signed_in(client) for client in (this, other)] == [True, False]
    assert list(open_sessions(owner.user)) == [after]


@pytest.mark.parametrize("change", ["password", "command", "save", "deletion"])
def test_what_operators_do_ends_sessions_and_tokens(
    owner: Person, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, new = signed_in(owner), "battery horse correct"
    match change:
        case "password":
            services.set_password(user=owner.user, password=new)
        case "command":
            monkeypatch.setattr("getpass.getpass", lambda prompt: new)
            call_command("changepassword", owner.user.email, stdout=StringIO())
            assert User.objects.get(pk=owner.user.pk).check_password(new)
        case "save":
            owner.user.set_password(new)
            owner.user.save()
        case "deletion":
            services.delete_accounts(users=User.objects.filter(pk=owner.user.pk))
    assert not is_signed_in(client)
    assert owner.get("/user/manage/").status_code == 401
    assert not BrowserSession.objects.exclude(user=None).exists()


def test_another_name_ends_nothing(owner: Person) -> None:
    client = signed_in(owner)
    user = User.objects.get(pk=owner.user.pk)
    user.name = "Olga"
    user.save()
    assert is_signed_in(client)
    assert owner.get("/user/manage/").status_code == 200


def test_sessions_of_an_older_release_are_pruned(db: None) -> None:
    Session.objects.create(session_key="a" * 32, session_data="", expire_date=timezone.now() + timedelta(days=9))
    services.prune(timezone.now())
    assert not Session.objects.exists()


def test_when_a_browser_was_seen_is_written_once_a_minute(owner: Person) -> None:
    client = signed_in(owner)
    seen, long_ago = session_of(client).seen_at, timezone.now() - timedelta(minutes=2)
    assert is_signed_in(client)
    assert session_of(client).seen_at == seen
    BrowserSession.objects.update(seen_at=long_ago)
    assert is_signed_in(client)
    assert session_of(client).seen_at > long_ago + timedelta(minutes=1)


def test_a_session_that_ends_during_a_request_does_not_come_back(owner: Person) -> None:
    client = signed_in(owner)
    session = client.session
    session["anything"] = 1
    BrowserSession.objects.all().delete()
    with pytest.raises(UpdateError):
        session.save()
    assert not BrowserSession.objects.exists()


def test_expired_sessions_are_not_listed_and_are_pruned(owner: Person) -> None:
    this, other = signed_in(owner), signed_in(owner)
    now = timezone.now()
    BrowserSession.objects.filter(session_key=other.session.session_key).update(expire_date=now)
    assert this.get(SESSIONS).text.count('<td data-label="Browser">') == 1
    services.prune(timezone.now())
    assert BrowserSession.objects.count() == 1


def test_sessions_are_listed_in_pages(owner: Person) -> None:
    for _ in range(51):
        Client().force_login(owner.user)
    this = signed_in(owner)
    first = this.get(SESSIONS).text
    (after,) = re.findall(r'href="\?after=([0-9a-f-]+)"', first)
    second = this.get(f"{SESSIONS}?after={after}").text
    counts = [page.count('<td data-label="Browser">') for page in (first, second, this.get(f"{SESSIONS}?after=x").text)]
    assert counts == [50, 2, 50]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "unknown"),
    ],
)
def test_browsers_are_named_as_people_call_them(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


def test_sessions_over_the_api(owner: Person, stranger: Person) -> None:
    this, other, strange = signed_in(owner), signed_in(owner), signed_in(stranger)
    listed = this.get("/user/sessions").json()["results"]
    assert [row["is_this"] for row in listed] == [False, True]
    assert (listed[1]["address"], listed[1]["user_agent"]) == ("192.0.2.7", FIREFOX)
    assert owner.delete(f"/user/sessions/{session_of(strange).sign_in_id}").status_code == 404
    assert owner.delete(f"/user/sessions/{listed[0]['id']}").status_code == 204
    assert [is_signed_in(client) for client in (this, other, strange)] == [True, False, True]
    signed_in(owner)
    assert this.delete("/user/sessions").status_code == 204
    assert is_signed_in(this)
    assert owner.delete("/user/sessions").status_code == 204  # by a token: all
    assert [is_signed_in(client) for client in (this, strange)] == [False, True]
