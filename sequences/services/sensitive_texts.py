"""The texts of a sequence that its author calls sensitive: what steps with `sensitive` send."""

import re
from typing import Any

from taskhub.security.masking import SecretText

SENT = frozenset({"body", "form", "multipart", "text", "query", "inputs"})  # in a step: what its author sends
_EXPRESSION = re.compile(r"\s*\{\{[^{}]*\}\}\s*")


def mark_sensitive(value: Any, *, within: bool = False) -> Any:
    """A copy of a sequence in which the texts that sensitive steps send are `SecretText`.

    They are sealed where the run's arguments are stored, and masked where these are shown. Expressions alone are no
    secret.
    """
    if isinstance(value, dict):
        sensitive = value.get("sensitive") is True
        return {
            key: mark_sensitive(inner, within=within or (sensitive and key in SENT)) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [mark_sensitive(inner, within=within) for inner in value]
    return SecretText(value) if within and isinstance(value, str) and not _EXPRESSION.fullmatch(value) else value
