"""No password, token or key ever stands in a log line, whatever was called and whatever went wrong."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from taskhub.accounts import services
from taskhub.security.masking import MaskingFilter
from tests.conftest import Person

CANARY = "canary battery Zq7"


@pytest.fixture
def key(owner: Person) -> str:
    return services.create_key(user=owner.user)[1]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that the hub writes, from DEBUG on, SQL with its values included, through the filter of the settings."""
    target = io.StringIO()
    handler = logging.StreamHandler(target)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(MaskingFilter())
    loggers = [logging.getLogger(name) for name in ("", "django", "django.request", "taskhub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield target
    logging.getLogger().removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verb fails with all that it was given in its message."""

    def fail(**given: Any) -> None:
        raise RuntimeError(f"failed with {given}")

    for verb in ("sign_up", "sign_in", "change_account", "create_key"):
        monkeypatch.setattr(services, verb, fail)


def call_everything(owner: Person, anonymous: Person, key: str) -> list[int]:
    login = {"email": "owner@example.com", "password": CANARY}
    answers = [
        anonymous.post("/user/create/", {**login, "email": "new@example.com"}),
        anonymous.post("/user/create/", f'{{"password": "{CANARY}", '),
        anonymous.post("/user/token/", login),
        anonymous.post("/user/token/", f"email=x&password={CANARY}", content_type="application/x-www-form-urlencoded"),
        owner.patch("/user/manage/", {"password": CANARY, "current_password": CANARY}),
        owner.post("/user/apikey"),
        anonymous.get(f"/user/apikey?api_key={key}"),
        anonymous.get("/user/apikey", headers={"X-API-Key": key}),
        anonymous.get(f"/nothing?api_key={key}"),
        anonymous.get(f"/user/manage/?api_key={key}x"),
        anonymous.post(f"/user/logout/?api_key={key}"),
        owner.get("/nothing"),
    ]
    return [answer.status_code for answer in answers]


def test_calls_leave_no_secret(owner: Person, anonymous: Person, key: str, log: io.StringIO) -> None:
    assert call_everything(owner, anonymous, key) == [201, 400, 401, 401, 400, 201, 200, 200, 404, 401, 400, 404]
    logging.getLogger("taskhub").warning("%s holds %s and %s", owner.headers, {"X-API-Key": key}, key)
    assert_masked(log.getvalue(), owner.token, key)


def test_faults_leave_no_secret(owner: Person, anonymous: Person, key: str, faulty: None, log: io.StringIO) -> None:
    assert 500 in call_everything(owner, anonymous, key)
    assert "failed with" in log.getvalue()
    assert_masked(log.getvalue(), owner.token, key)


def assert_masked(written: str, token: str, key: str) -> None:
    assert written
    for secret in (CANARY, CANARY.replace(" ", "%20"), token, token[4:20], key, key[17:]):
        assert secret not in written
