"""The private PostgreSQL and Redis of a hub that was given none.

Usable before Django's settings are loaded: standard library and psutil only. `manage.py up` owns the servers; any
other command borrows them: it uses them while they run, else starts them for itself.
"""

from .external_servers import check_addresses
from .home import OWNER, CannotStart, Home, require_home
from .postgres import client_programs
from .process_registry import ProcessRegister, ProgramSpec, StopSignals, end_session
from .servers import START_SECONDS, Servers, describe_this_process, ensure_services

__all__ = [
    "OWNER",
    "START_SECONDS",
    "CannotStart",
    "Home",
    "ProcessRegister",
    "ProgramSpec",
    "Servers",
    "StopSignals",
    "check_addresses",
    "client_programs",
    "describe_this_process",
    "end_session",
    "ensure_services",
    "require_home",
]
