"""Sessions of the console that begin without its form, which takes a browser three pages; test_console.py fills it."""

import requests
from playwright.sync_api import Page

from tests.hub import PASSWORD, Hub


def session_of(hub: Hub, email: str) -> requests.Session:
    """What somebody has who has signed in to the console, without a browser."""
    session = requests.Session()
    session.trust_env = False
    session.headers["Accept"] = "text/html"
    session.get(f"{hub.url}/sign-in", timeout=60)
    sent = {"username": email, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    answer = session.post(f"{hub.url}/sign-in", sent, allow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    return session


def sign_in(page: Page, hub: Hub, email: str) -> None:
    """Gives the window of a page such a session."""
    with session_of(hub, email) as session:
        page.context.add_cookies(
            [{"name": name, "value": value, "url": hub.url} for name, value in session.cookies.items()]
        )
