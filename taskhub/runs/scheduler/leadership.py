"""Leadership is a lease: one row, taken and renewed by one statement, with the clock of the database."""

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from taskhub.runs.models import Leadership

_TAKE = """
INSERT INTO runs_leadership (name, holder, until)
VALUES (%(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE runs_leadership.holder = excluded.holder OR runs_leadership.until < clock_timestamp()
RETURNING holder
"""


def lead(name: str, holder: str) -> bool:
    """Takes or renews the lead for some seconds; False while another holds it."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"name": name, "holder": holder, "seconds": settings.LEADER_LEASE_SECONDS})
        return cursor.fetchone() is not None


def resign(name: str, holder: str) -> None:
    Leadership.objects.filter(name=name, holder=holder).delete()


def is_led(name: str) -> bool:
    return Leadership.objects.filter(name=name, until__gt=Now()).exists()
