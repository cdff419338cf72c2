"""The limit of sign-ins to one account, beside that of each address: guesses may come from many."""

import hashlib
import math

from django.conf import settings

from taskhub.errors import TooMany
from taskhub.web.rest_policies import RouteThrottle

# As many as two addresses may try: nobody keeps others out of their accounts from one.
TIMES = 2


def count_sign_in(account: str) -> None:
    """Counts a try to sign in as the account of this address, whether there is one or not. Raises `TooMany`."""
    rate, throttle = settings.THROTTLE_RATES["sign_in"], RouteThrottle()
    name = hashlib.sha256(account.lower().encode(errors="replace")).hexdigest()
    if rate is not None and not throttle.allow(f"account:{name}", rate, times=TIMES):
        seconds = max(1, math.ceil(throttle.wait()))
        raise TooMany(f"There were too many tries to sign in to this account: wait {seconds} s.", retry_after=seconds)
