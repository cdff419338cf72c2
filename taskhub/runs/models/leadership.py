"""Leadership: of several beats one leads."""

from django.db import models


class Leadership(models.Model):
    """Who leads, for some seconds. It needs no database session, so it is safe behind connection poolers."""

    name = models.CharField(max_length=40, primary_key=True)
    holder = models.CharField(max_length=255)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
