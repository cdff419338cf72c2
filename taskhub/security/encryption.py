"""Encryption at rest: model fields whose values only the program can read.

Fernet (AES-128-CBC with HMAC-SHA256) under keys derived from each of SECRET_KEYS: the first one encrypts, all decrypt.
"""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute

from taskhub.errors import Unavailable


def encrypted(value: Any) -> str:
    """A JSON value as encrypted text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _fernet(tuple(settings.SECRET_KEYS)).encrypt(text.encode()).decode("ascii")


def decrypted(text: str) -> Any:
    """The JSON value of an encrypted text. Raises `Unavailable` if its key was removed from TASKHUB_SECRET_KEY.

    A text that is not encrypted is JSON: an older version stored it.
    """
    if not is_ciphertext(text):
        return json.loads(text)
    try:
        return json.loads(_fernet(tuple(settings.SECRET_KEYS)).decrypt(text.encode("ascii")))
    except InvalidToken:
        raise Unavailable("A stored secret cannot be opened with the present TASKHUB_SECRET_KEY.") from None


def is_ciphertext(text: str) -> bool:
    """Whether a text is an encrypted one: its version and a time of this century; no address and no JSON begins so."""
    return text.startswith("gAAAAA")


@lru_cache(4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    kdf = HKDF(SHA256(), length=32, salt=None, info=b"taskhub: encrypted fields")
    return base64.urlsafe_b64encode(kdf.derive(key.encode()))


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A value as the database has it."""

    text: str

    def __len__(self) -> int:
        return len(self.text)

    def open(self) -> Any:
        return decrypted(self.text)


class DecryptedOnUse(DeferredAttribute):
    """A model's attribute that is decrypted when it is first read: most rows are loaded for something else."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        values, name = instance.__dict__, self.field.attname
        value = values[name] if name in values else super().__get__(instance, cls)
        if isinstance(value, Ciphertext):
            value = values[name] = value.open()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        """Without this the instance's own dictionary would be read first, and `__get__` not called."""
        instance.__dict__[self.field.attname] = value


class EncryptedJSONField(models.TextField):
    """Any JSON value, encrypted in the database; it cannot be searched for.

    It is decrypted when it is read of an instance, and raises `Unavailable` then; `values()` gives the `Ciphertext`.
    """

    descriptor_class = DecryptedOnUse

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Ciphertext):
            return value.text
        return None if value is None else encrypted(value)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Ciphertext | None:
        return None if value is None else Ciphertext(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: Any) -> str:
        """Serialised data stays encrypted."""
        return str(self.get_prep_value(self.value_from_object(obj)))


class EncryptedTextField(models.TextField):
    """A text, encrypted in the database; an empty one stays empty. What an older version stored is read as it is."""

    descriptor_class = DecryptedOnUse

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Ciphertext):
            return value.text
        return encrypted(str(value)) if value and self.is_encrypted(str(value)) else value

    def is_encrypted(self, value: str) -> bool:
        """Whether a text that is not empty is to be encrypted."""
        return True

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Ciphertext | str | None:
        return Ciphertext(value) if value and is_ciphertext(value) else value

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: Any) -> str:
        """Serialised data stays encrypted."""
        return str(self.get_prep_value(self.value_from_object(obj)) or "")
