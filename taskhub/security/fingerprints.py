"""Versions of objects that count none, by which a change can be meant for what somebody has seen."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.crypto import salted_hmac

Version = int | str
# Is called with the present version of an object, which stays until the caller's transaction ends. Raises
# `PreconditionFailed` where the change is for another.
CheckVersion = Callable[[Version], None]


def fingerprint(values: Mapping[str, Any]) -> str:
    """The version of an object with these values: others have another. It tells nobody what they are."""
    text = json.dumps(values, sort_keys=True, default=str)
    return salted_hmac("taskhub.version", text, algorithm="sha256").hexdigest()[:32]
