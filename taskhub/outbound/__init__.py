"""The one gate for requests to other servers.

    with Session() as session:
        answer = session.get("https://example.com/")

calls public addresses only, and those that the setting OUTBOUND_ALLOW lists. Other clients build on `check_url` for
what an address says and `resolve` for where its name leads; both raise the same `Refused` and `Unreachable`.
"""

from taskhub.outbound.answers import pause_of
from taskhub.outbound.errors import Refused, TooMuch, Unreachable
from taskhub.outbound.names import Resolver, resolve, system_resolver
from taskhub.outbound.policy import Allow, Policy, Target, check_url, configured_policy, read_origin, refusal
from taskhub.outbound.session import Session

__all__ = [
    "Allow",
    "Policy",
    "Refused",
    "Resolver",
    "Session",
    "Target",
    "TooMuch",
    "Unreachable",
    "check_url",
    "configured_policy",
    "pause_of",
    "read_origin",
    "refusal",
    "resolve",
    "system_resolver",
]
