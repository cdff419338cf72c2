"""Second factors: turned on and off, asked for at each sign-in, guessed at in vain, and kept encrypted."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import second_factors, services
from taskhub.accounts.models import SecondFactor, User
from taskhub.audit.models import AuditEntry
from taskhub.errors import Conflict, Rejected, TooMany, Unauthenticated
from tests.conftest import Person
from tests.problems import problem

PASSWORD = "correct horse battery"
PAGE = "/console/you/second-factor"
SIGN_IN = {"username": "owner@example.com", "password": PASSWORD}
TOKEN = {"email": "owner@example.com", "password": PASSWORD}


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The moment that it is: in the middle of a step, of which none ends while a test computes."""
    moments = [datetime.fromtimestamp(time.time() // 30 * 30 + 15, UTC)]
    monkeypatch.setattr(timezone, "now", lambda: moments[-1])
    return moments


def code_of(user: User, steps: int = 0) -> str:
    """The code that the app of a user shows; or showed, or will show, `steps` of 30 seconds from now."""
    return pyotp.TOTP(SecondFactor.objects.get(user=user).secret).at(timezone.now(), counter_offset=steps)


@pytest.fixture
def codes(owner: Person) -> list[str]:
    """Recovery codes of the owner, who has a second factor, of which the code of now was used."""
    second_factors.begin_factor(user=owner.user, current_password=PASSWORD)
    return second_factors.confirm_factor(user=owner.user, code=code_of(owner.user))


def check(user: User, code: str) -> bool:
    try:
        second_factors.check_code(user, code)
    except Rejected:
        return False
    return True


# Codes


def test_a_code_counts_once_and_so_does_each_before_it(owner: Person, codes: list[str]) -> None:
    assert not check(owner.user, code_of(owner.user))  # it turned the second factor on
    assert check(owner.user, code_of(owner.user, 1))
    assert not check(owner.user, code_of(owner.user, 1))
    assert not check(owner.user, code_of(owner.user))


@pytest.mark.parametrize(
    ("steps", "is_taken"), [(-3, False), (-1, True), (0, True), (1, True), (3, False)], ids=["-3", "-1", "0", "1", "3"]
)
def test_clocks_may_differ_by_a_step(owner: Person, codes: list[str], steps: int, is_taken: bool) -> None:
    SecondFactor.objects.update(last_step=-1)
    assert check(owner.user, code_of(owner.user, steps)) == is_taken


@pytest.mark.parametrize(
    "spelled", ["{}", " {} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}"], ids=["plain", "around", "between"]
)
def test_spaces_in_a_code_do_not_matter(owner: Person, codes: list[str], spelled: str) -> None:
    assert check(owner.user, spelled.format(code_of(owner.user, 1)))


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "0x1234", "-12345", "1.2e+5", "x" * 100, "a\x00b"]
)
def test_what_is_no_code_is_refused(owner: Person, codes: list[str], code: str) -> None:
    assert not check(owner.user, code)


def test_a_recovery_code_counts_once_however_it_is_spelled(owner: Person, codes: list[str]) -> None:
    assert len(set(codes)) == 10
    assert check(owner.user, codes[0])
    assert not check(owner.user, codes[0])
    assert check(owner.user, codes[1].upper().replace("-", " "))
    assert len(SecondFactor.objects.get().recovery_hashes) == 8


def test_wrong_codes_have_to_wait_longer_each_time(owner: Person, codes: list[str], clock: list[datetime]) -> None:
    waits = []
    for _ in range(15):
        try:
            second_factors.check_code(owner.user, "000000")
        except Rejected:
            continue
        except TooMany as refusal:
            assert refusal.retry_after is not None
            waits.append(refusal.retry_after)
            with pytest.raises(TooMany):  # a right one waits as well
                second_factors.check_code(owner.user, codes[0])
            clock.append(clock[-1] + timedelta(seconds=refusal.retry_after))
            assert not check(owner.user, "000000")
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    clock.append(clock[-1] + timedelta(seconds=3600))
    assert check(owner.user, codes[0])
    assert not check(owner.user, "000000")  # and begins anew
    assert check(owner.user, codes[1])


def test_secret_and_recovery_codes_are_not_stored_in_clear(owner: Person, codes: list[str]) -> None:
    secret = SecondFactor.objects.get().secret
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(accounts_secondfactor)::text FROM accounts_secondfactor")
        stored = cursor.fetchone()[0]
    assert not [text for text in (secret, *codes, *(code.replace("-", "") for code in codes)) if text in stored]


# Turning on and off


def secret_of(page: str) -> str:
    (secret,) = re.findall(r"data-copied>([A-Z2-7 ]+)<", page)
    return str(secret).replace(" ", "")


def test_it_is_turned_on_by_the_code_that_the_page_leads_to(browser: Client, owner: Person) -> None:
    other = Client()
    other.force_login(owner.user)
    refused = browser.post(PAGE, {"action": "begin", "current_password": "wrong"})
    assert (refused.status_code, "This is not the current password." in refused.text) == (400, True)
    page = browser.post(PAGE, {"action": "begin", "current_password": PASSWORD}, follow=True).text
    secret = secret_of(page)
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in page or "<svg " in page
    assert "style=" not in page
    refused = browser.post(PAGE, {"action": "confirm", "otp": "000000"})
    assert (refused.status_code, "This is not the code that the app shows now." in refused.text) == (400, True)
    assert Client().post("/sign-in", SIGN_IN)["Location"] == "/"  # it does not count yet
    done = browser.post(PAGE, {"action": "confirm", "otp": pyotp.TOTP(secret).at(timezone.now())})
    shown = re.findall(r"(?<![-\w])[a-z2-7]{4}(?:-[a-z2-7]{4}){3}(?![-\w])", done.text)
    assert len(shown) == 10
    later = browser.get(PAGE).text
    assert not [text for text in (secret, *shown) if text in later]
    # What signed in without it has ended.
    assert not AuthToken.objects.filter(user=owner.user).exists()
    assert other.get("/console/runs").status_code == 302
    assert check(owner.user, shown[0])


def test_a_secret_has_to_be_confirmed_in_time(browser: Client, owner: Person) -> None:
    browser.post(PAGE, {"action": "begin", "current_password": PASSWORD})
    SecondFactor.objects.update(created_at=timezone.now() - timedelta(minutes=16))
    assert "data-copied" not in browser.get(PAGE).text
    refused = browser.post(PAGE, {"action": "confirm", "otp": code_of(owner.user)})
    assert (refused.status_code, "begin again" in refused.text) == (409, True)
    assert second_factors.active_factor(owner.user) is None


def test_one_that_counts_is_not_replaced_by_who_has_the_session(
    browser: Client, owner: Person, codes: list[str]
) -> None:
    browser.force_login(owner.user)
    refused = browser.post(PAGE, {"action": "begin", "current_password": PASSWORD})
    assert refused.status_code == 409
    assert check(owner.user, codes[0])


@pytest.mark.parametrize("action", ["renew", "remove"])
def test_a_change_needs_password_and_code(browser: Client, owner: Person, codes: list[str], action: str) -> None:
    browser.force_login(owner.user)
    good = {"action": action, "current_password": PASSWORD, "otp": codes[0]}
    for wrong in ({"current_password": "wrong"}, {"otp": "000000"}, {"otp": ""}):
        assert browser.post(PAGE, good | wrong).status_code == 400
    assert second_factors.active_factor(owner.user)
    answer = browser.post(PAGE, good, follow=True)
    assert answer.status_code == 200
    if action == "remove":
        assert "The second factor is off." in answer.text
        assert Client().post("/sign-in", SIGN_IN)["Location"] == "/"
        return
    new = re.findall(r"(?<![-\w])[a-z2-7]{4}(?:-[a-z2-7]{4}){3}(?![-\w])", answer.text)
    assert [check(owner.user, code) for code in (codes[1], new[0])] == [False, True]


def test_there_is_nothing_to_remove_where_there_is_none(owner: Person) -> None:
    for act in (second_factors.remove_factor, second_factors.renew_recovery_codes):
        with pytest.raises(Conflict):
            act(user=owner.user, current_password=PASSWORD, code="000000")


# Signing in


@pytest.mark.parametrize("door", ["/sign-in?next=/console/runs", "/admin/"], ids=["console", "admin"])
def test_a_browser_is_asked_for_a_code(owner: Person, codes: list[str], door: str) -> None:
    """The admin has no door of its own."""
    User.objects.update(is_staff=True)
    client = Client()
    form = client.get(door, follow=True)
    back = form.redirect_chain[-1][0] if form.redirect_chain else door
    assert client.post(back, SIGN_IN | {"next": form.context["next"]})["Location"] == "/sign-in/code"
    for page in ("/console/runs", "/admin/", "/user/manage/"):
        assert client.get(page).status_code in {302, 401}
    assert "owner@example.com" in client.get("/sign-in/code").text
    refused = client.post("/sign-in/code", {"otp": "000000"})
    assert (refused.status_code, second_factors.WRONG_CODE in refused.text) == (400, True)
    answer = client.post("/sign-in/code", {"otp": codes[0]})
    assert (answer.status_code, answer["Location"]) == (302, form.context["next"])
    assert client.get(answer["Location"]).status_code == 200
    assert client.get("/sign-in/code").status_code == 302


def test_the_admins_own_form_signs_nobody_in(owner: Person, codes: list[str]) -> None:
    User.objects.update(is_staff=True)
    client = Client()
    assert client.post("/admin/login/?next=/admin/", SIGN_IN)["Location"] == "/sign-in?next=/admin/"
    assert client.get("/admin/").status_code == 302


def test_who_is_no_staff_is_led_from_the_admin_back(browser: Client) -> None:
    answer = browser.get("/admin/", follow=True)
    assert answer.redirect_chain[-1] == ("/", 302)
    assert "The admin is for staff." in answer.text


def test_the_code_has_its_turn_after_the_password(client: Client, owner: Person, codes: list[str]) -> None:
    for call in (client.get, client.post):
        assert call("/sign-in/code", {"otp": codes[0]})["Location"] == "/sign-in"
    assert check(owner.user, codes[0])


def test_the_first_step_is_nobody_elses_who_has_the_cookie_from_before(owner: Person, codes: list[str]) -> None:
    """Such as one that was put into the browser."""
    client, other = Client(), Client()
    client.post("/sign-in", SIGN_IN)
    other.cookies["sessionid"] = client.cookies["sessionid"].value
    client.post("/sign-in", SIGN_IN)
    assert other.get("/sign-in/code").status_code == 302
    assert client.post("/sign-in/code", {"otp": codes[0]})["Location"] == "/"


@pytest.mark.parametrize("change", ["time", "password", "inactive"])
def test_the_first_step_does_not_hold_for_ever(
    client: Client, owner: Person, codes: list[str], change: str, clock: list[datetime]
) -> None:
    client.post("/sign-in", SIGN_IN)
    match change:
        case "time":
            clock.append(clock[-1] + timedelta(minutes=10))
        case "password":
            services.set_password(user=owner.user, password="battery horse correct")
        case _:
            User.objects.update(is_active=False)
    assert client.post("/sign-in/code", {"otp": codes[0]})["Location"] == "/sign-in"
    assert "_auth_user_id" not in client.session


def test_many_wrong_codes_have_to_wait_whatever_the_door(
    client: Client, anonymous: Person, owner: Person, codes: list[str]
) -> None:
    client.post("/sign-in", SIGN_IN)
    assert {client.post("/sign-in/code", {"otp": "000000"}).status_code for _ in range(5)} == {400}
    refused = client.post("/sign-in/code", {"otp": codes[0]})
    assert (refused.status_code, "There were too many wrong codes" in refused.text) == (429, True)
    answer = anonymous.post("/user/token/", TOKEN | {"otp": codes[0]})
    problem(answer, 429)
    assert 0 < int(answer["Retry-After"]) <= 30


def test_a_token_needs_a_code_and_a_key_does_not(anonymous: Person, owner: Person, codes: list[str]) -> None:
    _, key = services.create_key(user=owner.user)
    missing = problem(anonymous.post("/user/token/", TOKEN), 401)
    wrong = problem(anonymous.post("/user/token/", TOKEN | {"otp": "000000"}), 401, "/otp")
    assert {missing["type"], wrong["type"]} == {"second-factor"}
    assert "`otp`" in missing["detail"]
    token = anonymous.post("/user/token/", TOKEN | {"otp": code_of(owner.user, 1)}).json()["token"]
    assert anonymous.get("/user/manage/", headers={"Authorization": f"token {token}"}).status_code == 200
    assert anonymous.get("/user/manage/", headers={"X-API-Key": key}).status_code == 200


def test_a_wrong_password_is_told_as_ever_and_costs_no_code(
    anonymous: Person, owner: Person, stranger: Person, codes: list[str]
) -> None:
    answers = [
        anonymous.post("/user/token/", {"email": person.user.email, "password": "wrong", "otp": codes[0]})
        for person in (owner, stranger)
    ]
    assert len({answer.content for answer in answers}) == 1
    assert check(owner.user, codes[0])
    with pytest.raises(Unauthenticated, match="the password is wrong"):
        services.sign_in(email="owner@example.com", password="wrong")


def test_a_code_where_there_is_no_second_factor_is_of_no_matter(anonymous: Person, owner: Person) -> None:
    assert anonymous.post("/user/token/", TOKEN | {"otp": "123456"}).status_code == 200


# Operators


def test_staff_remove_it_which_is_on_record(owner: Person, codes: list[str]) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
    users = "/admin/accounts/user/"
    assert "On since" in root.get(f"{users}{owner.user.pk}/change/").text
    form = {"action": "remove_second_factors", "_selected_action": [str(owner.user.pk)]}
    assert "Are you sure?" in root.post(users, form).text
    assert second_factors.active_factor(owner.user)
    assert root.post(users, form | {"post": "yes"}).status_code == 302
    assert second_factors.active_factor(owner.user) is None
    (entry,) = LogEntry.objects.filter(object_id=str(owner.user.pk))
    assert entry.change_message == "Removed the second factor."
    audited = AuditEntry.objects.filter(object_id=str(owner.user.pk), action__contains="second factor").order_by("at")
    assert list(audited.values_list("action", "actor", "door")) == [
        ("turn on second factor", "", "command"),
        ("turn off second factor", "root@example.com", "admin"),
    ]
    assert Client().post("/sign-in", SIGN_IN)["Location"] == "/"


def test_staff_do_not_remove_their_own_without_password_and_code(owner: Person, codes: list[str]) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    root = Client()
    root.force_login(owner.user)
    form = {"action": "remove_second_factors", "_selected_action": [str(owner.user.pk)], "post": "yes"}
    assert root.post("/admin/accounts/user/", form).status_code == 302
    assert second_factors.active_factor(owner.user)


def test_a_deleted_account_keeps_none(owner: Person, codes: list[str]) -> None:
    services.delete_accounts(users=User.objects.filter(pk=owner.user.pk))
    assert not SecondFactor.objects.exists()
