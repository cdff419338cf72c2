"""Who visits the demonstration's hub, with the client of `client/`; and what they expect of it."""

from typing import Any

from taskhub_client import Hub

TIMEOUT = 60.0
NOBODY = "none"  # no token of anybody's, nor one that the environment or `taskhub login` has


class UnexpectedAnswer(Exception):
    """The hub did something else than the demonstration says."""


def sign_up(url: str, email: str, password: str) -> Hub:
    """A new user's hub."""
    with _hub(url, NOBODY) as hub:
        hub.call("POST", "/user/create/", json={"email": email, "password": password})
    return sign_in(url, email, password)


def sign_in(url: str, email: str, password: str) -> Hub:
    with _hub(url, NOBODY) as hub:
        return _hub(url, hub.make_token(email, password))


def _hub(url: str, token: str) -> Hub:
    return Hub(url, token=token, trust_env=False)  # the hub is here: there is no proxy in between


def expect(actual: Any, expected: Any, name: str) -> None:
    """Raises `UnexpectedAnswer` if the two values differ; `name` is the subject of its message."""
    if actual != expected:
        raise UnexpectedAnswer(f"{name} is {actual!r}, not {expected!r}.")
