"""What an address says, what the exceptions let through, and where a name leads."""

import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from taskhub.outbound import (
    Allow,
    Policy,
    Refused,
    Resolver,
    Target,
    Unreachable,
    check_url,
    configured_policy,
    refusal,
    resolve,
)

PUBLIC_ONLY = Policy()


def allowing(*entries: str) -> Policy:
    return Policy(allow=Allow.parse(entries))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://example.com", "http://example.com"),
        ("HTTPS://Example.com:443/a b?c#d", "https://example.com"),
        ("http://example.com:8080?q=http://user@10.0.0.1/", "http://example.com:8080"),
        ("http://example.com:/", "http://example.com"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443"),
        ("http://8.8.8.8/", "http://8.8.8.8"),
        ("http://example.com#@10.0.0.1\\", "http://example.com"),
    ],
)
def test_origins(url: str, origin: str) -> None:
    assert str(check_url(url, PUBLIC_ONLY)) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "http:",
        "http:/example.com",
        "http:///example.com",
        "http:\\\\example.com",
        "http://",
        "http://:80",
        "http://?",
        " http://a",
        "http://user@example.com",
        "http://user:pw@example.com",
        "http://:@example.com",
        "http://8.8.8.8@127.0.0.1",
        "http://example.com\\@127.0.0.1",
        "http://127.0.0.1\\@example.com",
        "http://a b.com",
        "http://example.com:0",
        "http://example.com:65536",
        "http://example.com:80:80",
        "http://example.com:\uff18\uff10",
        "http://example.com/\r\nX: y",
        "http://example.com\t",
        "http://exam\nple.com",
        "http://example.com/\x00",
        "http://localhost",
        "http://LOCALHOST.:8000",
        "http://a.localhost",
        "http://\uff4cocalhost",
        "http://ⓛocalhost",
        "http://[::1]",
        "http://[::ffff:7f00:1]",
        "http://[fe80::1%25eth0]",
        "http://2130706433",
        "http://0x7f.1",
    ],
)
def test_addresses_that_are_not_called(url: str) -> None:
    with pytest.raises(Refused):
        check_url(url, PUBLIC_ONLY)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://10.0.0.1\\@example.com/",
        "http://10.0.0.1\\:x@example.com/",
        "http://u:p\\w@example.com/",
        "http://example.com\\",
        "http://a@10.0.0.1\\@example.com",
    ],
)
def test_a_backslash_hides_no_host_of_a_proxy(proxy: str) -> None:
    """To browsers it is a slash, so that the host stands before it."""
    with pytest.raises(Refused, match="backslash"):
        check_url(proxy, PUBLIC_ONLY, userinfo=True)


@given(st.text())
def test_any_text_is_an_origin_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}@example.com/", f"https://example.com/{text}"):
        with suppress(Refused):
            target = check_url(url, PUBLIC_ONLY)
            assert check_url(f"{target}/", PUBLIC_ONLY) == target


def test_reasons_name_the_origin_and_nothing_secret() -> None:
    with pytest.raises(Refused) as caught:
        check_url("http://10.0.0.1:81/capability/canary?api_key=canary#canary", PUBLIC_ONLY)
    assert caught.value.detail == "http://10.0.0.1:81 is not called: it is a private address."
    with pytest.raises(Refused) as caught:
        check_url("http://canary:canary@example.com:canary/", PUBLIC_ONLY)
    assert "canary" not in str(caught.value)
    assert (caught.value.status, caught.value.permanent) == (400, True)


@pytest.mark.parametrize(
    ("entries", "url", "called"),
    [
        (["loopback"], "http://127.9.9.9:8000", True),
        (["loopback"], "http://[::1]", True),
        (["loopback"], "http://localhost:8000", True),
        (["loopback"], "http://10.0.0.1", False),
        (["loopback"], "http://0x7f000001", False),
        (["loopback"], "http://[::ffff:127.0.0.1]", False),
        (["localhost"], "http://localhost", True),
        (["localhost"], "http://127.0.0.1", False),
        (["localhost:81"], "http://localhost", False),
        (["10.1.0.0/16"], "http://10.1.2.3", True),
        (["10.1.0.0/16"], "http://10.2.2.3", False),
        (["10.1.2.3:8080"], "http://10.1.2.3:8080", True),
        (["10.1.2.3:8080"], "http://10.1.2.3", False),
        (["fd00::/8"], "http://[fd12::1]", True),
        (["[fd00::1]:81"], "http://[fd00::1]:81", True),
        (["[fd00::1]:81"], "http://[fd00::1]:82", False),
        (["169.254.169.254"], "http://169.254.169.254", True),
    ],
)
def test_exceptions(entries: list[str], url: str, called: bool) -> None:
    policy = allowing(*entries)
    if called:
        assert isinstance(check_url(url, policy), Target)
    else:
        with pytest.raises(Refused):
            check_url(url, policy)


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.1/8", "10.0.0.0/33", "*.example.com", "http://a", "a:b", "0x7f.1", "a b"]
)
def test_exceptions_that_cannot_be_read(entry: str) -> None:
    with pytest.raises(ValueError, match="is no network, address or host name"):
        Allow.parse([entry])


def test_a_proxy_may_have_userinfo() -> None:
    assert str(check_url("http://us@er:p%40ss@8.8.8.8:3128", PUBLIC_ONLY, userinfo=True)) == "http://8.8.8.8:3128"
    with pytest.raises(Refused):
        check_url("http://user@8.8.8.8@127.0.0.1", PUBLIC_ONLY, userinfo=True)


def test_the_decision_knows_ports() -> None:
    assert refusal(ip_address("10.0.0.1"), 81, allowing("10.0.0.1:81")) is None
    assert refusal(ip_address("10.0.0.1"), 80, allowing("10.0.0.1:81")) == "a private address"


def test_the_resolver_s_order_is_kept() -> None:
    answer = ["2606:4700::1111", "8.8.8.8", "1.1.1.1"]
    assert resolve("Example.com.", 443, PUBLIC_ONLY, resolver=lambda name, port: answer) == answer


def test_an_address_is_not_looked_up() -> None:
    def resolver(name: str, port: int) -> list[str]:
        raise AssertionError

    assert resolve("8.8.8.8", 80, PUBLIC_ONLY, resolver=resolver) == ["8.8.8.8"]
    with pytest.raises(Refused, match=r"^127\.0\.0\.1 is not called: it is a loopback address\.$"):
        resolve("127.0.0.1", 80, PUBLIC_ONLY, resolver=resolver)


@pytest.mark.parametrize("forbidden", ["10.0.0.1", "::1", "::ffff:8.8.8.8", "fe80::1%eth0", "169.254.169.254"])
def test_one_forbidden_address_refuses_the_name(forbidden: str) -> None:
    with pytest.raises(Refused, match=r"^example\.com is not called: it leads to a"):
        resolve("example.com", 80, PUBLIC_ONLY, resolver=lambda name, port: ["8.8.8.8", forbidden])


def test_a_listed_name_may_lead_anywhere() -> None:
    policy = allowing("crawler.internal:81")
    assert resolve("crawler.internal", 81, policy, resolver=lambda name, port: ["10.0.0.1"]) == ["10.0.0.1"]
    with pytest.raises(Refused):
        resolve("crawler.internal", 80, policy, resolver=lambda name, port: ["10.0.0.1"])


def test_a_name_that_leads_nowhere_may_be_tried_again() -> None:
    def unknown(name: str, port: int) -> list[str]:
        raise OSError("unknown")

    resolvers: list[Resolver] = [unknown, lambda name, port: []]
    for resolver in resolvers:
        with pytest.raises(Unreachable, match="cannot be resolved") as caught:
            resolve("example.com", 80, PUBLIC_ONLY, resolver=resolver)
        assert not caught.value.permanent


def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:
    over = threading.Event()

    def silent(name: str, port: int) -> list[str]:
        over.wait()
        return ["8.8.8.8"]

    with pytest.raises(Unreachable, match="was not resolved within"):
        resolve("example.com", 80, PUBLIC_ONLY, resolver=silent, timeout=0.01)
    over.set()


def test_the_policy_of_the_settings(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback", "crawler.internal"]
    settings.OUTBOUND_MAX_BYTES = 4096
    policy = configured_policy()
    assert policy.max_bytes == 4096
    assert policy.allow.has_name("crawler.internal", 80)
    settings.OUTBOUND_ALLOW = ["*.internal"]
    with pytest.raises(ImproperlyConfigured, match="TASKHUB_OUTBOUND_ALLOW"):
        configured_policy()
