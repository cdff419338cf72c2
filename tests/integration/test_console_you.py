"""The console's section "You": the account, its API keys and secrets; and the sign-up."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sequences.models import StoredSecret
from sequences.services.secrets import save_secret, secret_value
from taskhub.accounts import services
from taskhub.accounts.models import ApiKey, User
from tests.conftest import Person

PASSWORD = "correct horse battery"
KEYS, SECRETS = "/console/you/keys", "/console/you/secrets"
SIGN_UP = {"email": "New@Example.com", "name": "Nina", "password": PASSWORD, "repeated": PASSWORD}


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES)


# The account


def test_the_account_leads_to_its_pages(browser: Client) -> None:
    page = browser.get("/console/you").text
    for path in (KEYS, SECRETS, "/console/password"):
        assert f'href="{path}"' in page
        assert browser.get(path).status_code == 200
    assert 'href="/console/you"' in browser.get("/").text


def test_the_name_is_changed_without_the_password_and_the_address_with_it(browser: Client, owner: Person) -> None:
    form = {"name": "Olga O.", "email": "owner@example.com"}
    assert browser.post("/console/you", form).status_code == 302
    refused = browser.post("/console/you", form | {"email": "o@example.com", "current_password": "wrong"})
    assert (refused.status_code, "This is not the current password." in refused.text) == (400, True)
    assert browser.post("/console/you", form | {"email": "o@example.com", "current_password": PASSWORD}).status_code
    user = User.objects.get(pk=owner.user.pk)
    assert (user.name, user.email, user.email_unconfirmed) == ("Olga O.", "o@example.com", True)


def test_an_address_that_is_taken_is_told_at_its_field(browser: Client, stranger: Person) -> None:
    form = {"name": "", "email": stranger.user.email.upper(), "current_password": PASSWORD}
    page = browser.post("/console/you", form)
    assert (page.status_code, "This e-mail address is already in use." in page.text) == (400, True)


# Keys


def test_a_key_is_shown_once_and_works_as_far_as_it_may(browser: Client, owner: Person, anonymous: Person) -> None:
    answer = browser.post(KEYS, {"name": "nightly", "scopes": ["read"], "expires_in": "86400"})
    assert answer["Cache-Control"] == "no-store"
    (text,) = re.findall(r"data-copied>(thk_[^<]+)", answer.text)
    headers = {"X-API-Key": text}
    assert anonymous.get("/runs", headers=headers).status_code == 200
    assert anonymous.post("/user/apikey", headers=headers).status_code == 403
    key = ApiKey.objects.get(user=owner.user)
    assert (key.name, key.scopes) == ("nightly", ["read"])
    assert 0 < (key.expires_at - timezone.now()).total_seconds() <= 86400  # type: ignore[operator]
    page = browser.get(KEYS).text
    assert key.prefix in page
    assert text not in page
    assert text.removeprefix(key.prefix) not in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "This field is required."),
        ({"scopes": ["read", "everything"]}, "everything is not one of the available choices."),
        ({"scopes": ["read"], "expires_in": "1"}, "1 is not one of the available choices."),
        ({"scopes": ["read"], "name": "n" * 101}, "at most 100 characters"),
    ],
    ids=["no scope", "unknown scope", "other expiry", "long name"],
)
def test_a_key_that_is_refused_says_why(browser: Client, form: dict[str, Any], words: str) -> None:
    page = browser.post(KEYS, form)
    assert (page.status_code, words in page.text) == (400, True)
    assert not ApiKey.objects.exists()


def test_more_keys_than_there_may_be_are_told_in_the_form(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "KEYS_MAX", 1)
    form = {"scopes": ["run"], "expires_in": "0"}
    assert browser.post(KEYS, form).status_code == 200
    refused = browser.post(KEYS, form)
    assert (refused.status_code, "revoke one first" in refused.text) == (409, True)


def test_a_key_is_revoked(browser: Client, owner: Person, stranger: Person) -> None:
    key, text = services.create_key(user=owner.user)
    other, _ = services.create_key(user=stranger.user)
    assert f'popovertarget="ask-{key.prefix}"' in browser.get(KEYS).text
    assert "is revoked" in browser.post(f"{KEYS}/{key.prefix}/revoke", follow=True).text
    assert Person().get("/runs", headers={"X-API-Key": text}).status_code == 401
    assert "or it is not yours" in browser.post(f"{KEYS}/{other.prefix}/revoke", follow=True).text
    assert list(ApiKey.objects.all()) == [other]


def test_keys_are_listed_in_pages_and_of_nobody_else(browser: Client, owner: Person, stranger: Person) -> None:
    services.create_key(user=stranger.user)
    for _ in range(51):
        services.create_key(user=owner.user)
    first = browser.get(KEYS).text
    (after,) = re.findall(r'href="\?after=(\d+)"', first)
    prefixes = re.findall(r"<td data-label=\"Key\"><code>(\w+)", first + browser.get(f"{KEYS}?after={after}").text)
    assert prefixes == list(ApiKey.objects.filter(user=owner.user).order_by("-id").values_list("prefix", flat=True))


# Secrets


def test_a_secret_is_set_and_never_shown(browser: Client, owner: Person) -> None:
    answer = browser.post(SECRETS, {"name": "SHOP_KEY", "value": "Zq7 line one\r\nline two"}, follow=True)
    assert "The secret SHOP_KEY is set." in answer.text
    assert "Zq7" not in answer.text + browser.get(f"{SECRETS}?replace=SHOP_KEY").text
    assert secret_value(owner.user.pk, "SHOP_KEY") == "Zq7 line one\nline two"


def test_a_secret_is_replaced_only_by_who_says_so(browser: Client, owner: Person) -> None:
    save_secret(user=owner.user, name="SHOP_KEY", value="first", is_global=False)
    refused = browser.post(SECRETS, {"name": "SHOP_KEY", "value": "second"})
    assert (refused.status_code, "There is a secret of this name already." in refused.text) == (400, True)
    assert "second" in refused.text  # what was written is not lost
    assert secret_value(owner.user.pk, "SHOP_KEY") == "first"
    form = browser.get(f"{SECRETS}?replace=SHOP_KEY").text
    assert 'name="replaces" value="True"' in form
    answer = browser.post(SECRETS, {"name": "SHOP_KEY", "value": "second", "replaces": "True"}, follow=True)
    assert "The secret SHOP_KEY is replaced." in answer.text
    assert secret_value(owner.user.pk, "SHOP_KEY") == "second"


@pytest.mark.parametrize(
    ("form", "words"),
    [({"name": "1st", "value": "a"}, "does not begin with a digit"), ({"name": "A"}, "This field is required.")],
)
def test_a_secret_that_is_refused_says_why(browser: Client, form: dict[str, str], words: str) -> None:
    page = browser.post(SECRETS, form)
    assert (page.status_code, words in page.text) == (400, True)
    assert not StoredSecret.objects.exists()


def test_a_secret_is_deleted(browser: Client, owner: Person, stranger: Person) -> None:
    for person in (owner, stranger):
        save_secret(user=person.user, name="SHOP_KEY", value="abcdef", is_global=False)
    assert "is deleted" in browser.post(f"{SECRETS}/SHOP_KEY/delete", follow=True).text
    assert [secret.owner for secret in StoredSecret.objects.all()] == [stranger.user]
    assert "There is no secret SHOP_KEY." in browser.post(f"{SECRETS}/SHOP_KEY/delete", follow=True).text


def test_secrets_for_everybody_are_kept_by_staff(browser: Client, colleague: Person) -> None:
    form = {"name": "SHOP_KEY", "value": "abcdef", "is_global": "on"}
    browser.post(SECRETS, form)
    assert not StoredSecret.objects.get().is_global
    staff = Client()
    staff.force_login(colleague.user)
    assert staff.post(SECRETS, form).status_code == 302
    page = browser.get(SECRETS).text
    assert "everybody" in page
    assert page.count("Delete it") == 1
    assert browser.post(f"{SECRETS}/SHOP_KEY/delete", {"global": "on"}).status_code == 403
    assert staff.post(f"{SECRETS}/SHOP_KEY/delete", {"global": "on"}).status_code == 302
    assert not StoredSecret.objects.filter(owner=None).exists()


# Signing up


def test_whoever_signs_up_is_signed_in(client: Client, db: None) -> None:
    assert 'href="/sign-up"' in client.get("/sign-in").text
    answer = client.post("/sign-up", SIGN_UP)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    user = User.objects.get(email="New@example.com")
    assert (user.name, user.is_staff, user.email_unconfirmed) == ("Nina", False, True)
    assert "New@example.com" in client.get("/console/you").text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"email": "OWNER@example.com"}, "This e-mail address is already in use."),
        ({"email": "nobody"}, "Enter a valid email address."),
        ({"password": "12345678", "repeated": "12345678"}, "entirely numeric"),
        ({"password": "new@example.com", "repeated": "new@example.com"}, "too similar"),
        ({"repeated": "another"}, "The two passwords differ."),
        ({"name": "n" * 201}, "at most 200 characters"),
    ],
    ids=["taken", "address", "weak", "similar", "repeated", "name"],
)
def test_a_sign_up_that_is_refused_says_why(client: Client, owner: Person, form: dict[str, str], words: str) -> None:
    page = client.post("/sign-up", SIGN_UP | form)
    assert (page.status_code, words in page.text) == (400, True)
    assert PASSWORD not in page.text
    assert User.objects.count() == 1


def test_a_closed_sign_up_lets_nobody_in(client: Client, db: None, settings: Any) -> None:
    settings.OPEN_SIGNUP = False
    assert "/sign-up" not in client.get("/sign-in").text
    for answer in (client.get("/sign-up"), client.post("/sign-up", SIGN_UP)):
        assert (answer.status_code, "Sign-up is closed here" in answer.text) == (403, True)
    assert not User.objects.exists()
