"""Values of environment variables, for `taskhub.settings`; a wrong one is refused with a sentence that names it."""

import os
import re
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

from taskhub.outbound.mail_server import MailServer, read_address


def env_text(name: str, default: str | None = None, hint: str = "") -> str:
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. {hint}".strip())
    return value


def env_flag(name: str, default: bool) -> bool:
    value = env_text(name, str(default)).lower()
    if value not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value in {"true", "1", "yes", "on"}


def env_flag_of_extra(name: str, module: str, extra: str) -> bool:
    """A flag, off by default, of what needs a module that is installed with an extra only."""
    is_on = env_flag(name, False)
    if is_on and not _is_installed(module):
        raise ImproperlyConfigured(f"{name} needs the extra {extra}: `make {extra}` installs it.")
    return is_on


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # one of the packages that it is in
        return False


def env_int(name: str, default: int, minimum: int = 0) -> int:
    value = env_text(name, str(default))
    if not value.isdecimal() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {minimum}, not {value!r}.")
    return int(value)


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env_text(name, default).split(",") if part.strip()]


def env_rate(name: str, default: str | None) -> str | None:
    """A rate such as 60/min; `none` lifts the limit."""
    value = env_text(name, default or "none").lower()
    if value == "none":
        return None
    count, _, period = value.partition("/")
    if not count.isdecimal() or period[:1] not in {"s", "m", "h", "d"}:
        raise ImproperlyConfigured(f"{name} must look like 60/min, 5/s or none, not {value!r}.")
    return value


def env_word(name: str, default: str, words: tuple[str, ...]) -> str:
    value = env_text(name, default).upper()
    if value not in words:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(words)}, not {value!r}.")
    return value


def env_web_address(name: str, default: str) -> str:
    """An address without a slash at its end, so that paths can be put behind it."""
    value = env_text(name, default).rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ImproperlyConfigured(f"{name} must look like https://hub.example.com, not {value!r}.")
    return value


def env_mail_server(name: str, default: str) -> MailServer | None:
    """The server by which e-mails leave the hub; None where none do."""
    url = env_text(name, default)
    try:
        return MailServer.parse(url) if url else None
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} {error}.") from None


def env_email(name: str, default: str) -> str:
    value = env_text(name, default)
    try:
        return read_address(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {value!r} {error}.") from None


def env_apps(name: str) -> list[str]:
    """Names of applications, each in a package that can be found."""
    apps = env_list(name)
    for app in apps:
        if not app.partition(".")[0].isidentifier() or find_spec(app.partition(".")[0]) is None:
            raise ImproperlyConfigured(f"{name} names {app!r}, and there is no such package.")
    return apps


def broker_address(redis_url: str) -> str:
    """Celery's spelling of redis-py's address: a unix socket has another scheme there."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}?{query.replace('db=', 'virtual_host=')}"
