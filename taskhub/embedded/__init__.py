"""The private PostgreSQL and Redis of a hub that was given none.

Usable before Django's settings are loaded: standard library and psutil only. `manage.py up` owns the servers; any
other command borrows them: it uses them while they run, else starts them for itself.
"""

from .external_servers import check_given
from .home import OWNER, CannotStart, Home
from .process_registry import Farewell, Program, Register, end_session
from .servers import START_SECONDS, Servers, ensure_services, whoami

__all__ = [
    "OWNER",
    "START_SECONDS",
    "CannotStart",
    "Farewell",
    "Home",
    "Program",
    "Register",
    "Servers",
    "check_given",
    "end_session",
    "ensure_services",
    "whoami",
]
