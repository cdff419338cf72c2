"""Who calls: users, known by their e-mail address, and the keys that stand in for them."""

import hashlib
import hmac
import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Lower
from django.utils import timezone

EMAIL_TAKEN = "This e-mail address is already in use."
KEY_MARK = "thk_"  # every key begins with it, so that a log filter or a scanner of repositories knows one


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A stored user. Without a password nobody can sign in as it. Raises IntegrityError for a taken address."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, username: str | None) -> "User":
        # Lower, not iexact, which compares with UPPER and would miss the index. Both sides are folded by PostgreSQL.
        return self.alias(folded=Lower("email")).get(folded=Lower(Value(username or "")))


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail address", max_length=254)
    name = models.CharField(max_length=200, blank=True, default="")
    is_staff = models.BooleanField("staff", default=False, help_text="Sees everything, and may open the admin.")
    is_active = models.BooleanField(
        "active", default=True, help_text="Cleared, the user can neither sign in nor use a token or key."
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email", violation_error_message=EMAIL_TAKEN)
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def jid(self) -> str:
        """The id as it stands on the wire: `urn:uuid:...`."""
        return self.id.urn

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.get_full_name()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def alive(self, now: datetime) -> "ApiKeyQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))


class ApiKey(models.Model):
    """A long-lived credential. Only its first part and a hash of the whole are kept."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    prefix = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=100, blank=True, default="")
    # SHA-256 is enough: a key holds 256 random bits, so there is nothing to guess that a slow hash would protect.
    hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix} {self.name}".strip()

    @staticmethod
    def hashed(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    def matches(self, key: str) -> bool:
        return hmac.compare_digest(self.hash, self.hashed(key))

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now
