"""Sealed values: what is known to be secret in a JSON value is encrypted where the value is stored, the rest is not.

Known to be secret is what `masking` hides: values under a secret's name, texts that hold a token or a password, and,
wherever it occurs again, what stands under a secret's name, and what is hidden from the log at the time, such as what a
sequence has read of the store of secrets. Each is replaced by `{"$sealed": "<encrypted>"}`. What an older version
stored is read as it is.
"""

from typing import Any

from django.db import models
from django.db.models.fields.json import KeyTransform

from taskhub.jsontools.key_order import keep_order, parse_ordered
from taskhub.security.encryption import (
    Ciphertext,
    DecryptedOnUse,
    EncryptedTextField,
    decrypted,
    encrypted,
    is_ciphertext,
)
from taskhub.security.masking import SecretText, hidden_texts, holds_secret, is_secret, secrets_of

SEALED = "$sealed"


def seal(value: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """A copy of a JSON value in which its secrets are sealed; `secrets` are those of something that it belongs to."""
    return _sealed(value, secrets | secrets_of(value) | hidden_texts())


def _sealed(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, dict):
        if SEALED in value:  # somebody else's, which must not be taken for ours when it is read
            return sealed_whole(value)
        return {
            key: sealed_whole(inner) if inner and is_secret(key) else _sealed(inner, secrets)
            for key, inner in value.items()
        }
    if isinstance(value, str):
        return sealed_whole(value) if holds_secret(value, secrets) else value
    return [_sealed(inner, secrets) for inner in value] if isinstance(value, list | tuple) else value


def sealed_whole(value: Any) -> dict[str, str]:
    return {SEALED: encrypted(value)}


def unseal(value: Any) -> Any:
    """The value that was sealed. Raises `Unavailable` if its key was removed from TASKHUB_SECRET_KEY.

    A text that was sealed for what it belonged to is `SecretText`: it is hidden and sealed again where it goes on to.
    """
    if isinstance(value, dict):
        if value.keys() == {SEALED} and isinstance(value[SEALED], str):
            opened = decrypted(value[SEALED])
            return SecretText(opened) if isinstance(opened, str) and not holds_secret(opened) else opened
        return {key: unseal(inner) for key, inner in value.items()}
    return [unseal(inner) for inner in value] if isinstance(value, list) else value


def sealed_text(text: str) -> str:
    """A text as `SealedTextField` stores it, for statements that are written out."""
    return encrypted(text) if holds_secret(text) else text


def opened_text(stored: str) -> str:
    return str(decrypted(stored)) if is_ciphertext(stored) else stored


class SealedText(Ciphertext):
    """A JSON value as the database has it, with sealed values in it."""

    def open(self) -> Any:
        return unseal(parse_ordered(self.text))


class SealedJSONField(models.JSONField):
    """JSON (`jsonb`) whose secrets are sealed and whose keys keep their order.

    Secrets are opened when the value is read of an instance.
    """

    descriptor_class = DecryptedOnUse

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if isinstance(value, Ciphertext):
            value = parse_ordered(value.text)
        elif not hasattr(value, "resolve_expression"):
            value = self.sealed(value)
        return super().get_db_prep_value(keep_order(value), connection, prepared)

    def sealed(self, value: Any) -> Any:
        return seal(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if not isinstance(value, str) or isinstance(expression, KeyTransform):
            return super().from_db_value(value, expression, connection)
        return SealedText(value) if f'"{SEALED}"' in value else parse_ordered(value)


class WhollySealedJSONField(SealedJSONField):
    """JSON (`jsonb`) that is sealed as a whole."""

    def sealed(self, value: Any) -> Any:
        return None if value is None else sealed_whole(value)


class SealedTextField(EncryptedTextField):
    """A text that is encrypted if it holds a secret, such as an address with a token in it."""

    def is_encrypted(self, value: str) -> bool:
        return holds_secret(value)
