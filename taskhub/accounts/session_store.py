"""Sessions of browsers, in a table that says whose they are, so that people see theirs and end them.

Django loads it by its name in the settings (`SESSION_ENGINE`); see "Extending database-backed session engines" there.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

if TYPE_CHECKING:
    from taskhub.accounts.models import BrowserSession

SIGN_IN = "sign_in"  # under which a session's data has the columns of its sign-in
SEEN_EVERY = timedelta(minutes=1)  # a write in every request would cost more than the answer is worth


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> "type[BrowserSession]":
        from taskhub.accounts.models import BrowserSession  # models are loaded after settings and middleware

        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        """The row of a session's data. It is made anew each time that these are stored, and under each key."""
        row: Any = super().create_model_instance(data)
        row.user_id = data.get(SESSION_KEY)
        for name, value in data.get(SIGN_IN, {}).items():
            setattr(row, name, value)
        return row

    def _get_session_from_db(self) -> "BrowserSession | None":
        """The row, in which it is noted that its browser was here."""
        row: BrowserSession | None = super()._get_session_from_db()  # type: ignore[misc]  # the stubs lack it
        now = timezone.now()
        if row is not None and row.seen_at <= now - SEEN_EVERY:
            self.get_model_class().objects.filter(session_key=row.session_key).update(seen_at=now)
        return row
