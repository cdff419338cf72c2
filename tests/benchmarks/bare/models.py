"""What is written down: the call's body."""

import uuid

from django.db import models


class Item(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    body = models.JSONField()

    objects: "models.Manager[Item]" = models.Manager()

    def __str__(self) -> str:
        return str(self.id)
