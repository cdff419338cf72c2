"""Settings that do not go together stop the start, with a sentence that names them."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from taskhub.environment import env_flag_of_extra
from tests.hub import ROOT


def start(show: str = "'fine'", **variables: str) -> str:
    """What a process says that reads the settings, and shows `show` of them."""
    environ = {
        **os.environ,
        "TASKHUB_SECRET_KEY": "x" * 50,
        "DATABASE_URL": "postgres:///none",
        "REDIS_URL": "redis://x",
    }
    read = [sys.executable, "-c", f"import taskhub.settings as s; print({show})"]
    return subprocess.run(
        read, cwd=ROOT, env=environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout.splitlines()[-1]


def test_walks_leave_connections_for_the_other_calls() -> None:
    assert start(TASKHUB_DATABASE_POOL="13") == "fine"
    refusal = start(TASKHUB_DATABASE_POOL="12")
    assert "ImproperlyConfigured: TASKHUB_WALKS_AT_ONCE (12) must be less than TASKHUB_DATABASE_POOL (12)" in refusal
    assert start(TASKHUB_DATABASE_POOL="0", TASKHUB_WALKS_AT_ONCE="100") == "fine"


OPEN = "True None None ['loopback']"
CLOSED = "False 6000/min 12000/min []"
ASKED_FOR = {
    "TASKHUB_OPEN_SIGNUP": "true",
    "TASKHUB_RATE_SUBMIT": "none",
    "TASKHUB_RATE_READ": "none",
    "TASKHUB_OUTBOUND_ALLOW": "loopback",
}


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({"TASKHUB_PRIVATE": "true"}, OPEN),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "127.0.0.1"}, OPEN),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "::1"}, OPEN),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "localhost"}, OPEN),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "0.0.0.0"}, CLOSED),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "::"}, CLOSED),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "192.168.1.5"}, CLOSED),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "hub.lan"}, CLOSED),
        ({"TASKHUB_PRIVATE": "true", "TASKHUB_BOUND_HOST": "0.0.0.0", **ASKED_FOR}, OPEN),
        ({"TASKHUB_PRIVATE": "false"}, CLOSED),
        ({"TASKHUB_PRIVATE": "false", "TASKHUB_BOUND_HOST": "127.0.0.1"}, CLOSED),
    ],
)
def test_what_is_convenient_on_loopback_is_open_there_only(variables: dict[str, str], state: str) -> None:
    shown = "s.OPEN_SIGNUP, s.THROTTLE_RATES['submit'], s.THROTTLE_RATES['read'], s.OUTBOUND_ALLOW"
    assert start(shown, **variables) == state


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TASKHUB_LOG_LEVEL", "loud", "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, not 'LOUD'."),
        ("TASKHUB_LOG_FORMAT", "xml", "must be one of LINE, JSON, not 'XML'."),
        ("TASKHUB_METRICS_OPEN", "perhaps", "must be true or false, not 'perhaps'."),
        ("TASKHUB_TRACES", "perhaps", "must be true or false, not 'perhaps'."),
        ("TASKHUB_PUBLIC_URL", "hub.example.com", "must look like https://hub.example.com, not 'hub.example.com'."),
        ("TASKHUB_PUBLIC_URL", "https:///hub", "must look like https://hub.example.com, not 'https:///hub'."),
        ("TASKHUB_APPS", "json,no_such_app.apps.Shop", "names 'no_such_app.apps.Shop', and there is no such package."),
        ("TASKHUB_APPS", "my-shop", "names 'my-shop', and there is no such package."),
        ("EMAIL_URL", "smtp://user:secret@", "names no host; it must be smtp://, smtp+starttls:// or smtps://, a host"),
        ("TASKHUB_EMAIL_FROM", "ops", "'ops' is no e-mail address, such as ada@example.com."),
        ("TASKHUB_OUTBOUND_ALLOW", "10.0.0.0/8,!!", "'!!' is no network, address or host name"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start(name: str, value: str, sentence: str) -> None:
    refusal = start(**{name: value})
    assert refusal.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}")
    assert sentence in refusal


def test_values_that_can_be_used_start() -> None:
    usable = {
        "TASKHUB_LOG_LEVEL": "debug",
        "TASKHUB_LOG_FORMAT": "json",
        "TASKHUB_PUBLIC_URL": "https://[::1]:8443/hub/",
        "TASKHUB_APPS": "walkers.apps.WalkersConfig",
        "TASKHUB_OUTBOUND_ALLOW": "loopback, 10.0.0.0/8",
    }
    assert start(**usable) == "fine"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.inner", "json.no_such_module"])
def test_what_needs_an_extra_says_which(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    assert env_flag_of_extra("TASKHUB_TRACES", module, "otel") is False
    monkeypatch.setenv("TASKHUB_TRACES", "true")
    assert env_flag_of_extra("TASKHUB_TRACES", "json.decoder", "otel") is True
    with pytest.raises(ImproperlyConfigured, match=r"needs the extra otel: `make otel` installs it\.$"):
        env_flag_of_extra("TASKHUB_TRACES", module, "otel")


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "None taskhub@localhost []"),
        ({"TASKHUB_PRIVATE": "true"}, "log://:0 taskhub@localhost []"),
        (
            {"EMAIL_URL": "smtps://a:b@mail", "TASKHUB_PUBLIC_URL": "https://Hub.example.com:8443/x"},
            "smtps://mail:465 taskhub@hub.example.com []",
        ),
        ({"TASKHUB_PUBLIC_URL": "http://[::1]:8000"}, "None taskhub@localhost []"),
        ({"TASKHUB_PUBLIC_URL": "http://0x7f.1"}, "None taskhub@localhost []"),
        (
            {"TASKHUB_EMAIL_FROM": "ops@example.org", "TASKHUB_EMAIL_DOMAINS": "Example.com, *"},
            "None ops@example.org ['example.com', '*']",
        ),
    ],
)
def test_how_emails_leave(variables: dict[str, str], shown: str) -> None:
    given = {"TASKHUB_PRIVATE": "false", **variables}
    assert start("s.EMAIL_SERVER, s.EMAIL_FROM, s.EMAIL_DOMAINS", **given) == shown
