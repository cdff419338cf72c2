"""Keeps the cookies of sites as browsers do, so that they can be stored, shared and given to a browser.

The rules are those of the standard library's `http.cookiejar`, which takes any name and sends values as they came.
A `StoredCookie` is a cookie as JSON, with the members that Chromium's DevTools and Playwright use for it: `domain`
begins with a dot where subdomains get it, too; `expires` is a Unix time, -1 for a cookie of the session.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request

from taskhub.outbound.cookie_headers import is_secure, readable_header

DOMAIN_MAX = 180  # cookies of one domain
COOKIES_MAX = 1000
_SAME_SITES = frozenset({"Strict", "Lax", "None"})
SESSION = -1.0
# A cookie without a domain is for its host alone, and not for names below that.
_POLICY = DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain)

StoredCookie = dict[str, Any]


class CookieKey(NamedTuple):
    """What tells cookies apart."""

    domain: str
    path: str
    name: str


#: What became of cookies: what they are now, None for one that is gone.
CookieChanges = dict[CookieKey, StoredCookie | None]


class CookieStore:
    """The cookies of one browser, so to speak: what servers set, and what is sent back to them."""

    def __init__(self, cookies: Iterable[Any] = ()) -> None:
        self._jar = CookieJar(_POLICY)
        self._known: dict[CookieKey, StoredCookie] = {}  # when `changes` was last asked
        self._touched = False
        self.replace(cookies)

    def header_for(self, url: str) -> str:
        """The header `Cookie` of a request; empty where there is none to send."""
        if next(iter(self._jar), None) is None:
            return ""
        request = Request(url)  # noqa: S310 (it is not opened)
        self._jar.add_cookie_header(request)
        return str(request.get_header("Cookie") or "")

    def receive(self, url: str, headers: Sequence[str]) -> None:
        """Takes the headers `Set-Cookie` of an answer from `url`. What no browser takes is left out."""
        origin = urlsplit(url)
        answer = _CookieAnswer([read for header in headers if (read := readable_header(header, origin))])
        secure = [] if is_secure(origin) else [cookie for cookie in self._jar if cookie.secure]
        self._jar.extract_cookies(answer, Request(url))  # type: ignore[arg-type]  # noqa: S310
        for cookie in secure:  # who listens on the way changes none of them
            self._jar.set_cookie(cookie)
        self._limit()
        self._touched = True

    def cookies(self) -> list[StoredCookie]:
        """All cookies that hold now."""
        now = int(time.time())
        return [_stored(cookie) for cookie in self._jar if not cookie.is_expired(now)]

    def replace(self, cookies: Iterable[Any]) -> None:
        """Forgets all cookies, and has these, which are known to others, too."""
        self._jar.clear()
        for cookie in cookies:
            self._jar.set_cookie(_loaded(cookie))
        self._known = _by_key(self.cookies())
        self._touched = False

    def adopt(self, cookies: Iterable[Any]) -> None:
        """Has these cookies, which are stored, and what has changed since `changes` was last asked."""
        if _by_key(cookies) != self._known:
            meanwhile = self.changes()
            self.replace(cookies)
            self.apply(meanwhile)

    def apply(self, changes: CookieChanges) -> None:
        """Changes cookies as something else did, such as a browser."""
        if changes:
            changed = merged_cookies(self.cookies(), changes)
            self._jar.clear()
            for cookie in changed:
                self._jar.set_cookie(_loaded(cookie))
            self._limit()
            self._touched = True

    def changes(self) -> CookieChanges:
        """What has changed since this was last asked, or since `replace`."""
        if not self._touched:
            return {}
        self._touched = False
        before, self._known = self._known, _by_key(self.cookies())
        return _differences(before, self._known)

    def _limit(self) -> None:
        """Drops the oldest cookies of a domain that sets too many, and of all domains together."""
        by_domain: dict[str, list[Cookie]] = {}
        for cookie in self._jar:
            by_domain.setdefault(cookie.domain, []).append(cookie)
        dropped = [cookie for cookies in by_domain.values() for cookie in cookies[:-DOMAIN_MAX]]
        if len(self._jar) - len(dropped) > COOKIES_MAX:
            kept = [cookie for cookies in by_domain.values() for cookie in cookies[-DOMAIN_MAX:]]
            dropped += kept[:-COOKIES_MAX]
        for cookie in dropped:
            self._jar.clear(cookie.domain, cookie.path, cookie.name)


def cookie_changes(before: Iterable[StoredCookie], after: Iterable[StoredCookie]) -> CookieChanges:
    """What a browser that was given some cookies made of them."""
    return _differences(_by_key(before), _by_key(after))


def merged_cookies(cookies: Iterable[Any], changes: CookieChanges) -> list[StoredCookie]:
    """Cookies as they are after changes. Those that changed come last."""
    kept = {key: cookie for key, cookie in _by_key(cookies).items() if key not in changes}
    return [*kept.values(), *(cookie for cookie in changes.values() if cookie)]


def set_by_user(cookies: Mapping[str, str], host: str) -> list[StoredCookie]:
    """Cookies that a user sends along to a host."""
    return [_cookie_of(host, "/", name, value) for name, value in cookies.items()]


def _differences(before: Mapping[CookieKey, StoredCookie], after: Mapping[CookieKey, StoredCookie]) -> CookieChanges:
    changed: CookieChanges = {key: cookie for key, cookie in after.items() if before.get(key) != cookie}
    return changed | dict.fromkeys(before.keys() - after.keys())


def _by_key(cookies: Iterable[Any]) -> dict[CookieKey, StoredCookie]:
    whole = (cookie if isinstance(cookie, dict) else _cookie_of(*cookie) for cookie in cookies)
    return {CookieKey(cookie["domain"], cookie["path"], cookie["name"]): cookie for cookie in whole}


def _cookie_of(domain: str, path: str, name: str, value: str) -> StoredCookie:
    """A cookie of one host and one session. Version 0.1.0 stored no more of any."""
    return {
        "domain": domain,
        "path": path,
        "name": name,
        "value": value,
        "expires": SESSION,
        "secure": False,
        "httpOnly": False,
    }


class _CookieAnswer:
    """An answer as `http.cookiejar` reads it."""

    def __init__(self, headers: list[str]) -> None:
        self._headers = headers

    def info(self) -> "_CookieAnswer":
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._headers if name.lower() == "set-cookie" else default


def _stored(cookie: Cookie) -> StoredCookie:
    host = cookie.domain.removesuffix(".local") if cookie.domain.count(".") == 1 else cookie.domain
    stored = {
        "domain": cookie.domain if cookie.domain_specified else host,
        "path": cookie.path,
        "name": cookie.name if cookie.value is not None else "",
        "value": cookie.value if cookie.value is not None else cookie.name,
        "expires": SESSION if cookie.expires is None else float(cookie.expires),
        "secure": bool(cookie.secure),
        "httpOnly": cookie.has_nonstandard_attr("HttpOnly"),
    }
    same_site = str(cookie.get_nonstandard_attr("SameSite") or "").capitalize()
    return stored | ({"sameSite": same_site} if same_site in _SAME_SITES else {})


def _loaded(given: Any) -> Cookie:
    cookie = given if isinstance(given, dict) else _cookie_of(*given)
    domain, name, value = cookie["domain"], cookie["name"], cookie["value"]
    wide = domain.startswith(".")
    rest: dict[str, str] = {"HttpOnly": ""} if cookie.get("httpOnly") else {}
    if same_site := cookie.get("sameSite"):
        rest["SameSite"] = same_site
    expires = cookie.get("expires", SESSION)
    return Cookie(
        version=0,
        name=name or value,
        value=value if name else None,
        port=None,
        port_specified=False,
        domain=domain if "." in domain else f"{domain}.local",  # as `http.cookiejar` writes it
        domain_specified=wide,
        domain_initial_dot=wide,
        path=cookie["path"],
        path_specified=True,
        secure=bool(cookie.get("secure")),
        expires=None if expires is None or expires < 0 else int(expires),
        discard=expires is None or expires < 0,
        comment=None,
        comment_url=None,
        rest=rest,
    )
