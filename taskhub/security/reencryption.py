"""Encrypts what is stored with the newest key: what an older version stored in clear, and what older keys encrypted."""

from typing import Any

from django.apps import apps
from django.db import models, transaction

from taskhub.security.encryption import Ciphertext, EncryptedJSONField, EncryptedTextField
from taskhub.security.sealed_values import SealedJSONField

BATCH = 500


def reencrypt_all() -> int:
    """Encrypts the values of all tables anew, batch by batch; returns how many rows were written."""
    return sum(_reencrypt(model) for model in apps.get_models())


def _reencrypt(model: type[models.Model]) -> int:
    kinds = (EncryptedJSONField, EncryptedTextField, SealedJSONField)
    fields = [field for field in model._meta.concrete_fields if isinstance(field, kinds)]
    written, after = 0, None
    while fields:
        with transaction.atomic():
            rows = model._base_manager.select_for_update(of=("self",), no_key=True).order_by("pk")
            batch = list(
                (rows if after is None else rows.filter(pk__gt=after)).only("pk", *(f.name for f in fields))[:BATCH]
            )
            for row in batch:
                if values := {field.name: getattr(row, field.attname) for field in fields if _is_to_write(field, row)}:
                    model._base_manager.filter(pk=row.pk).update(**values)
                    written += 1
        if len(batch) < BATCH:
            break
        after = batch[-1].pk
    return written


def _is_to_write(field: Any, row: models.Model) -> bool:
    """Whether a row's value is encrypted, or is to be."""
    value = vars(row)[field.attname]
    if isinstance(value, Ciphertext) or not value:
        return bool(value)
    if isinstance(field, SealedJSONField):
        return bool(field.sealed(value) != value)
    return not isinstance(field, EncryptedTextField) or field.is_encrypted(str(value))
