"""The mask: what it hides, what it leaves, and that no line can stop it."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.accounts.models import new_key
from taskhub.security.masking import MASK, MaskingFilter, hiding, mask, mask_value, masked_address, secrets_of

CANARY = "Zq7canary"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.example/services/T0/B1/c4n4ry", "https://hooks.example/***"),
        ("http://h.example:8080/?token=c4n4ry#c4n4ry", "http://h.example:8080/***"),
        ("HTTPS://h.example?c4n4ry", "HTTPS://h.example/***"),
        ("http://ann:c4n4ry@h.example/", "http://ann:***@h.example/"),
        ("http://h.example/", "http://h.example/"),
        ("", ""),
    ],
)
def test_of_a_webhook_the_server_is_shown_alone(address: str, shown: str) -> None:
    assert masked_address(address) == shown


@pytest.mark.parametrize(
    "line",
    [
        f'{{"password": "{CANARY}"}}',
        f'{{"current_password": "a b\\"{CANARY}"}}',
        f"{{'token': b'{CANARY}'}}",
        f"{{'secret': '{CANARY}",
        f'"{{\\"password\\": \\"{CANARY}\\"}}"',
        f"[('Authorization', 'token {CANARY}')]",
        f"(b'x-api-key', b'{CANARY}')",
        f"Authorization: token {CANARY}",
        f"authorization=BEARER {CANARY}",
        f"X-API-Key: {CANARY}",
        f"GET /runs?api_key={CANARY}&limit=1",
        f"email=a%40b.c&password={CANARY}",
        f"TASKHUB_SECRET_KEY={CANARY}",
        f"client_secret = {CANARY}",
        f'{{"token": 5{CANARY}}}',
        f"Cookie: sessionid={CANARY}",
        f"postgres://hub:{CANARY}@db/hub",
        f"redis://:p@ss{CANARY}@db/0",
        f"credentials='{CANARY}'",
        f"Bearer abcdefghijkl{CANARY}",
        f"Authorization: Digest {CANARY}",
        f'Proxy-Authorization: Digest username="u", response="{CANARY}"',
        f"Authorization: {CANARY}",
        f'{{"credentials": {{"user": "u", "pw": "{CANARY}"}}, "id": 1}}',
        f'"password": ["a]\\"]", "{CANARY}"]',
        f"{{'tokens': ('a', ['b'], {{'c': '{CANARY}'}})}}",
        f'"{{\\"password\\": [\\"a]\\", \\"{CANARY}\\"]}}"',
        f"('secrets', ['{CANARY}'])",
        f"password=SecretStr('{CANARY}')",
        f'"authorization": [\n"{CANARY}"',
        f'"private_key": "{CANARY}"',
        f"privateKey={CANARY}",
        f"passphrase: {CANARY}",
        f"token_value={CANARY}",
        f"'secret_value': '{CANARY}'",
        f"pa\u017f\u017fword={CANARY}",  # letters that are the same to a search that ignores case
        f"private_\u212aey={CANARY}",
        f"cook\u0131e: {CANARY}",
        f"CREDENT\u0130AL={CANARY}",
        f"GET /c/{CANARY:a<32}/status",
        f"GET /v1/files/{CANARY:a<40}/page.html",
    ],
)
def test_secret_is_masked(line: str) -> None:
    masked = mask(line)
    assert CANARY not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "line",
    [
        "5 tokens of 6 ended",
        "The password was changed",
        "token: None",
        '{"expiry": "2026-11-22", "name": "token"}',
        "http://127.0.0.1:8000/user/token/",
        "ada@example.com signed in",
        "task_id=5, author: Ada, description: (none), tokens_used: 3",
        "Authorization: None",
    ],
)
def test_the_rest_stays(line: str) -> None:
    assert mask(line) == line


def test_only_the_value_in_brackets_is_masked() -> None:
    assert mask('{"password": ["a", {"b": "]"}], "id": 5}') == '{"password": ***, "id": 5}'


@pytest.mark.parametrize("name", ["clientSecret", "X-API-Key", "private_key", "passphrase", "token_value", "secrets"])
def test_what_stands_under_a_secrets_name_is_masked(name: str) -> None:
    assert mask_value({name: {"a": [CANARY]}, "author": "Ada", "tokens_used": 3}) == {
        name: MASK,
        "author": "Ada",
        "tokens_used": 3,
    }


def test_keys_and_tokens_are_known_by_themselves() -> None:
    key, prefix = new_key()
    token = "tht_" + "0a" * 32
    assert mask(f"got {key} and {token}, thanks") == f"got {prefix}_{MASK} and tht_{MASK}, thanks"


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="\"'\\ \n")))
def test_masked_whatever_stands_around(before: str, after: str) -> None:
    assert CANARY not in mask(f'{before} "password": "{CANARY}" {after}')


@pytest.mark.parametrize(
    "line",
    [
        'token="' + "\\a" * 50_000,
        '"token": "' + "\\" * 99_999,
        "token" + " " * 200_000,
        "://a:" * 50_000,
        "secret_key" * 50_000,
        "basic " * 50_000,
        "token=[" * 50_000,
        "token=(" + '"' * 50_001,
        "token={" + "\\" * 99_999 + '"',
        "token=[" + '\\"' * 50_000,
        "token=[]" * 50_000,
        "token" + "1" * 99_999,
        "authorization:" + " " * 99_999,
        "authorization:***" * 10_000,
    ],
)
def test_no_line_keeps_the_mask_busy(line: str) -> None:
    """With two ways to read the same backslashes this would not end in a lifetime; the suite's time-out tells."""
    assert isinstance(mask(line), str)


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and what it writes through the filter."""
    target = io.StringIO()
    logger, handler = logging.getLogger("test_secrets"), logging.StreamHandler(target)
    handler.addFilter(MaskingFilter())
    logger.addHandler(handler)
    yield logger, target
    logger.removeHandler(handler)


def test_arguments_and_tracebacks_are_masked(log: Any) -> None:
    logger, target = log
    try:
        raise ValueError(f"password={CANARY}")
    except ValueError:
        logger.exception("login with %s", {"password": CANARY})
    assert CANARY not in target.getvalue()
    assert "ValueError: password=***" in target.getvalue()


def test_a_malformed_line_is_still_written(log: Any) -> None:
    logger, target = log
    logger.error("%d of %s", "password=" + CANARY)
    assert "%d of %s" in target.getvalue()
    assert CANARY not in target.getvalue()


def test_what_an_error_quotes_is_hidden_while_it_is_known() -> None:
    given = {"ctx": {"password": CANARY, "deep": [{"token": ["it's \n"]}], "secret": "abc", "city": "Bern"}}
    assert secrets_of(given) == {CANARY, "it's \n"}
    target = io.StringIO()
    handler = logging.StreamHandler(target)
    handler.addFilter(MaskingFilter())
    with hiding(given):
        for said in (f"wrong: {CANARY}", "wrong: " + repr("it's \n"), "Bern abc"):
            handler.handle(logging.makeLogRecord({"msg": said}))
    handler.handle(logging.makeLogRecord({"msg": CANARY}))
    assert target.getvalue() == f'wrong: {MASK}\nwrong: "{MASK}"\nBern abc\n{CANARY}\n'
    assert mask_value({"report": [f"a {CANARY}"]}, secrets_of(given)) == {"report": [f"a {MASK}"]}
