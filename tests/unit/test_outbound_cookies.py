"""Cookies as browsers keep them: what servers set, what is sent back where, and how it is stored meanwhile."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.outbound.cookie_store import (
    COOKIES_MAX,
    DOMAIN_MAX,
    CookieStore,
    cookie_changes,
    merged_cookies,
    set_by_user,
)

PAGE = "http://shop.example.com/cart/view"


def stored_and_loaded(store: CookieStore) -> CookieStore:
    return CookieStore(json.loads(json.dumps(store.cookies())))


def kept(*headers: str, url: str = PAGE) -> CookieStore:
    store = CookieStore()
    store.receive(url, headers)
    assert stored_and_loaded(store).cookies() == store.cookies()
    return stored_and_loaded(store)


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("session=s1", "session=s1"),
        ("cart[items]=1", "cart[items]=1"),
        ("a{b}(c)<d>@e:f/g?h,i=1", "a{b}(c)<d>@e:f/g?h,i=1"),
        ("two words=1", "two words=1"),
        ("näme=wört", "näme=wört"),
        ("caf\udce9=1", "café=1"),
        ("$a=1", "$a=1"),
        ('quoted="a b"', 'quoted="a b"'),
        ("list=a,b c", "list=a,b c"),
        ("json={%22a%22:1}", "json={%22a%22:1}"),
        ("empty=", "empty="),
        ("bare", "bare"),
        ("=nameless", "nameless"),
        ("a=b=c", "a=b=c"),
        ("path=1; Path=/", "path=1"),
        ("a=1; Path=/cart", "a=1"),
        ("a=1; Path=/car", ""),
        ("a=1; Path=/other", ""),
        ("a=1; Domain=example.com", "a=1"),
        ("a=1; Domain=.example.com", "a=1"),
        ("a=1; Domain=shop.example.com", "a=1"),
        ("a=1; Domain=elsewhere.com", ""),
        ("a=1; Domain=com", ""),
        ("a=1; Domain=.com", ""),
        ("a=1; Secure", ""),
        ("__Secure-a=1", ""),
        ("__Secure-a=1; Secure", ""),
        ("a=1; Max-Age=60", "a=1"),
        ("a=1; Max-Age=0", ""),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
        ("a=1; Expires=Fri, 01-Jan-2100 00:00:00 GMT", "a=1"),
        ("a=1; expires=soon; HttpOnly; SameSite=None; Partitioned; Priority=High", "a=1"),
        ("a=1; Max-Age=soon", "a=1"),
        ('a=1; Max-Age="0"', "a=1"),
        ("a=1; Max-Age=1.5", "a=1"),
        ("a=1; Max-Age", "a=1"),
        ("a=1; Max-Age=-1", ""),
        ("a=1; Max-Age=00060", "a=1"),
        ("a=1; Max-Age=" + "9" * 5000, "a=1"),
        ("a=1; Max-Age=" + "9" * 500, "a=1"),
        ("a=1; Max-Age=-" + "9" * 500, ""),
        ("a=1; Max-Age=0; Max-Age=60", "a=1"),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "a=1"),
        ("a=1; Expires", "a=1"),
        ("a=1; Expires=0", "a=1"),
        ("a=1; Path", "a=1"),
        ("a=1; Path=cart", "a=1"),
        ('a=1; Path="/"', "a=1"),
        ("a=1; Path=/other; Path=/", "a=1"),
        ("a=1; Domain", "a=1"),
        ("a=1; Domain=", "a=1"),
        ("a=1; Domain=.", "a=1"),
        ("a=1; DOMAIN=Example.COM", "a=1"),
        ("a=1; Secure=", ""),
        ("a=1; secure=false", ""),
        ("a=1; Version=1; Comment=x; Port=80", "a=1"),
        ("a=1; Version=none", "a=1"),
        ("a=1;; ;=;", "a=1"),
        ("a=1\x01", ""),
        ("a=" + "x" * 5000, ""),
    ],
)
def test_what_is_sent_back(header: str, sent: str) -> None:
    assert kept(header).header_for(PAGE) == sent


@pytest.mark.parametrize(
    ("header", "url", "sent"),
    [
        ("a=1", "http://other.example.com/cart/", ""),
        ("a=1; Domain=example.com; Path=/", "http://other.example.com/", "a=1"),
        ("a=1; Path=/", "http://shop.example.com:8080/", "a=1"),
        ("a=1; Path=/", "https://shop.example.com/", "a=1"),
        ("a=1; Path=/", "http://www.shop.example.com/", ""),
        ("a=1; Path=/; Domain=shop.example.com", "http://www.shop.example.com/", "a=1"),
        ("a=1", "http://shop.example.com/", ""),  # its path is that of the page that set it
        ("a=1", "http://shop.example.com/cart/", "a=1"),
        ("a=1; Path=/", "http://evil.com/?shop.example.com", ""),
    ],
)
def test_where_it_is_sent(header: str, url: str, sent: str) -> None:
    assert kept(header).header_for(url) == sent


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("a=1; Secure", True),
        ("__Secure-a=1; Secure", True),
        ("__Secure-a=1", False),
        ("__SECURE-a=1", False),
        ("__Secure-a=1; Secure; Domain=example.com", True),
        ("__Host-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure; Path=/; Domain=", True),
        ("__Host-a=1; Secure; Path=/; Domain=shop.example.com", False),
        ("__Host-a=1; Secure; Path=/cart", False),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Path=/", False),
        ("__host-a=1; Path=/", False),
        ("__Http-a=1; Secure; HttpOnly", True),
        ("__Http-a=1; Secure", False),
        ("__Host-Http-a=1; Secure; HttpOnly; Path=/", True),
        ("__Host-Http-a=1; Secure; Path=/", False),
        ("=__Host-a=1", False),
        ("__Secure-", False),
        ("__Other-a=1", True),
    ],
)
def test_names_that_promise_something(header: str, sent: bool) -> None:
    page = PAGE.replace("http:", "https:")
    assert kept(header, url=page).header_for(page) == (header.partition(";")[0] if sent else "")


@pytest.mark.parametrize(
    ("host", "domain", "kept_for_it"),
    [
        ("shop.co.uk", "shop.co.uk", True),
        ("shop.co.uk", "co.uk", False),
        ("shop.co.uk", ".CO.UK", False),
        ("shop.com.au", "com.au", False),
        ("me.github.io", "github.io", False),
        ("me.github.io", "me.github.io", True),
        ("www.ck", "www.ck", True),  # an exception of the list
        ("shop.other.ck", "other.ck", False),  # from a wildcard of it
        ("shop.xn--55qx5d.cn", "公司.cn", False),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("shop.lan", "shop.lan", True),
        ("shop.lan", "lan", False),
    ],
)
def test_no_cookie_is_for_names_of_other_people(host: str, domain: str, kept_for_it: bool) -> None:
    store = kept(f"a=1; Path=/; Domain={domain}", url=f"http://{host}/")
    for name in (host, f"www.{host}"):
        assert bool(store.header_for(f"http://{name}/")) == kept_for_it
    assert not store.header_for(f"http://other.{host.partition('.')[2]}/")


def test_a_public_suffix_that_is_a_site_sets_cookies_for_itself() -> None:
    store = kept("a=1; Path=/; Domain=github.io", url="https://github.io/")
    assert store.header_for("https://github.io/x") == "a=1"
    assert store.header_for("https://me.github.io/") == ""


def test_what_came_over_tls_is_not_changed_without_it() -> None:
    page = PAGE.replace("http:", "https:")
    store = kept("a=1; Path=/; Secure", url=page)
    store.receive(PAGE, ["a=2; Path=/", "a=3; Path=/; Secure", "b=4; Path=/"])
    assert sorted(store.header_for(page).split("; ")) == ["a=1", "b=4"]
    store.receive(PAGE, ["a=; Path=/; Max-Age=0"])
    assert sorted(store.header_for(page).split("; ")) == ["a=1", "b=4"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]", "[::1]:80", "a.local"])
def test_hosts_without_a_dot_have_cookies_too(host: str) -> None:
    store = kept("a=1; Path=/", url=f"http://{host}/")
    assert store.header_for(f"http://{host}/x") == "a=1"
    assert store.header_for("http://other.host/x") == ""
    name = host.rpartition(":")[0] or host if not host.endswith("]") else host
    own = kept(f"a=1; Path=/; Domain={name.strip('[]')}", url=f"http://{host}/")
    assert own.header_for(f"http://{host}/x") == "a=1"


def test_a_cookie_is_kept_whole() -> None:
    header = (
        "a=1; Domain=example.com; Path=/x; Secure; HTTPOnly; samesite=strict; Expires=Fri, 01 Jan 2100 00:00:00 GMT"
    )
    [cookie] = kept(header, "b=2; Max-Age=0", url=PAGE.replace("http:", "https:")).cookies()
    assert cookie == {
        "domain": ".example.com",
        "path": "/x",
        "name": "a",
        "value": "1",
        "expires": 4102444800.0,
        "secure": True,
        "httpOnly": True,
        "sameSite": "Strict",
    }


def test_a_later_cookie_replaces_an_earlier_one() -> None:
    store = kept("a=1", "b=2")
    store.receive(PAGE, ["a=3"])
    store.receive(PAGE, ["b=; Max-Age=0"])
    assert store.header_for(PAGE) == "a=3"


def test_those_of_an_older_version_are_read() -> None:
    store = CookieStore([["shop.example.com", "/", "a", "1"]])
    assert store.header_for(PAGE) == "a=1"
    assert store.header_for("http://other.example.com/") == ""
    assert merged_cookies([["h", "/", "a", "1"]], {}) == set_by_user({"a": "1"}, "h")


def test_several_workers_have_one_store() -> None:
    first, second = CookieStore(), CookieStore()
    first.receive(PAGE, ["a=1", "gone=1"])
    stored = merged_cookies([], first.changes())
    second.adopt(stored)
    second.receive(PAGE, ["b=2", "gone=; Max-Age=0"])
    first.receive(PAGE, ["c=3"])
    stored = merged_cookies(stored, second.changes())
    first.adopt(stored)  # with what it got meanwhile, which is not stored yet
    assert sorted(first.header_for(PAGE).split("; ")) == ["a=1", "b=2", "c=3"]
    stored = merged_cookies(stored, first.changes())
    assert sorted(CookieStore(stored).header_for(PAGE).split("; ")) == ["a=1", "b=2", "c=3"]
    assert first.changes() == {}


def test_what_a_browser_makes_of_cookies_is_taken_over() -> None:
    store = kept("a=1; Path=/", "b=2; Path=/")
    before = store.cookies()
    after = [before[0] | {"value": "9"}, *set_by_user({"c": "3"}, "shop.example.com")]
    store.receive(PAGE, ["d=4; Path=/"])  # meanwhile
    store.apply(cookie_changes(before, after))
    assert sorted(store.header_for(PAGE).split("; ")) == ["a=9", "c=3", "d=4"]


def test_a_site_keeps_no_more_than_browsers_let_it() -> None:
    store = CookieStore()
    store.receive(PAGE, [f"n{number}=1" for number in range(DOMAIN_MAX + 20)])
    assert len(store.cookies()) == DOMAIN_MAX
    assert store.cookies()[0]["name"] == "n20"
    for number in range(12):
        url = f"http://h{number}.example.org/"
        store.receive(url, [f"n{place}=1" for place in range(DOMAIN_MAX)])
    assert len(store.cookies()) == COOKIES_MAX


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(st.one_of(TEXTS, st.builds("{}={}; Domain={}; Max-Age={}".format, TEXTS, TEXTS, TEXTS, TEXTS))))
def test_any_header_is_taken_or_left_out(headers: list[Any]) -> None:
    store = CookieStore()
    store.receive(PAGE, headers)
    loaded = stored_and_loaded(store)
    assert loaded.header_for(PAGE) == store.header_for(PAGE)
    store.header_for(PAGE).encode()
