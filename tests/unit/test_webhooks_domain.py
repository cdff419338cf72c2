"""Signatures and the times of attempts, by the reference verifier of Standard Webhooks."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from taskhub.runs.webhooks.domain import RETRY_DELAYS, Verdict, secret_text, signatures, verdict

KEYS = st.binary(min_size=24, max_size=64)


@given(keys=st.lists(KEYS, min_size=1, max_size=3, unique=True), data=st.dictionaries(st.text(), st.integers()))
def test_each_secret_verifies_what_is_signed_with_it(keys: list[bytes], data: dict[str, int]) -> None:
    body, now = json.dumps({"data": data}, ensure_ascii=True).encode(), int(time.time())
    secrets = [secret_text(key) for key in keys]
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signatures(secrets, message="msg_1", timestamp=now, body=body),
    }
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == {"data": data}
    for wrong in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(now - 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secrets[0]).verify(body, headers | wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(b"another key of another user")).verify(body, headers)


def test_attempts_go_on_for_a_day() -> None:
    assert list(RETRY_DELAYS) == sorted(RETRY_DELAYS)
    assert RETRY_DELAYS[0] <= 10
    assert 23 * 3600 <= sum(RETRY_DELAYS) <= 25 * 3600


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.AGAIN),
        (400, Verdict.AGAIN),
        (404, Verdict.AGAIN),
        (410, Verdict.GONE),
        (500, Verdict.AGAIN),
    ],
)
def test_what_an_answer_means(status: int, meaning: Verdict) -> None:
    assert verdict(status) is meaning
