"""Checks of the servers that the environment names. No message shows a password."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from .home import CannotStart

SHAPES = {
    "DATABASE_URL": (("postgresql", "postgres"), "postgresql://user:password@host:5432/name"),
    "REDIS_URL": (("redis", "rediss", "unix"), "redis://host:6379/0"),
    "CELERY_BROKER_URL": (
        ("amqp", "amqps", "redis", "rediss", "redis+socket", "sentinel"),
        "amqp://user:password@host:5672//",
    ),
}


def check_addresses(environ: Mapping[str, str]) -> None:
    """Raises CannotStart for a malformed address, and for a database without its secret key."""
    for name, (schemes, example) in SHAPES.items():
        if environ.get(name) and not _is_address(environ[name], schemes):
            raise CannotStart(f"{name} is not an address that can be used: it must look like {example}.")
    if environ.get("DATABASE_URL") and not environ.get("TASKHUB_SECRET_KEY"):
        raise CannotStart(
            "DATABASE_URL is set and TASKHUB_SECRET_KEY is not: set it to a long random text,"
            " the same on every machine."
        )


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        address = urlsplit(text.strip())
        _ = address.port
    except ValueError:
        return False
    path = address.path.strip("/") if address.scheme in ("postgresql", "postgres", "unix", "redis+socket") else "-"
    host = address.netloc or address.scheme in ("unix", "redis+socket", "postgresql", "postgres")
    return address.scheme in schemes and bool(path and host)
