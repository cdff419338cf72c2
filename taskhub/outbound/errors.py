"""Errors of calls to other servers. Their texts name the origin of an address at most: the rest may be secret."""

from taskhub.errors import Failed, Rejected, Unavailable


class Refused(Rejected):
    """The gate does not let the call through, now or later."""

    type, title = "address-refused", "This address is not called"


class Unreachable(Unavailable):
    """The other server cannot be reached, is too slow or breaks off; the same call may succeed later."""

    type, title = "server-unreachable", "The other server cannot be reached"


class TimedOut(Unreachable):
    """The other server took too long, to be connected to, to answer or to end its answer."""


class TooMuch(Failed):
    """The other server's answer is past a limit: bytes, headers, redirects."""

    type, title = "answer-too-large", "The other server's answer is past a limit"
