"""The private PostgreSQL and Redis of a hub that was given none.

Usable before Django's settings are loaded: standard library and psutil only. `manage.py up` owns the servers; any
other command borrows them: it uses them while they run, else starts them for itself.
"""

from .home import CannotStart, Home
from .processes import Program, Register
from .servers import Servers, ensure_services

__all__ = ["CannotStart", "Home", "Program", "Register", "Servers", "ensure_services"]
