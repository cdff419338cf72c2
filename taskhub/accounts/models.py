"""Users, known by their e-mail address, and how they are known: API keys, sessions of browsers, second factors."""

import hashlib
import re
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models, transaction
from django.db.models import Q, Value
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone

from taskhub.accounts.session_store import SessionStore
from taskhub.audit.services import record_change
from taskhub.db.querysets import OwnedQuerySet
from taskhub.security.encryption import EncryptedTextField
from taskhub.security.scopes import ALL_SCOPES

EMAIL_TAKEN = "This e-mail address is already in use."

AUDITED = ("email", "email_unconfirmed", "name", "is_staff", "is_superuser", "is_active")

# Every key begins alike, so that the log's mask, or a scanner of repositories, knows one when it sees one.
PREFIX = re.compile(r"thk_[0-9a-f]{12}")

ADDRESS_MAX, USER_AGENT_MAX = 64, 400  # characters of what a browser's session says of it


password_changed = Signal()  # of a `user`: whatever he signed in with the one before ends


class KeptCredentials(NamedTuple):
    """What stays when a password is changed: what its user has changed it with."""

    token: Any = None
    session_key: str | None = None


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> models.QuerySet["User"]:
        """All users but deleted ones, which only `taskhub.accounts.removal` sees."""
        return super().get_queryset().filter(deleted_at=None)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Creates a user. Without a password nobody can sign in as it. Raises IntegrityError for a taken address."""
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
    email_unconfirmed = models.BooleanField(
        "e-mail address not confirmed",
        default=False,
        db_default=False,
        help_text="The user has written it down, and nobody else: notifications are not sent to it.",
    )
    name = models.CharField(max_length=200, blank=True, default="")
    is_staff = models.BooleanField("staff", default=False, help_text="Sees everything, and may open the admin.")
    is_active = models.BooleanField(
        "active", default=True, help_text="Cleared, the user can neither sign in nor use a token or key."
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    deleted_at = models.DateTimeField(null=True, editable=False)

    kept = KeptCredentials()  # when its password is changed
    is_kept_to_own = False  # in this call, whose scope the user's role lacks: see `taskhub.accounts.roles`

    objects: ClassVar[UserManager] = UserManager()
    with_deleted: ClassVar[models.Manager["User"]] = models.Manager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email", violation_error_message=EMAIL_TAKEN)
        ]
        indexes = [models.Index("deleted_at", name="accounts_user_deleted", condition=Q(deleted_at__isnull=False))]
        permissions = (
            ("operate_all", "Can start, cancel, pause and send again what others own"),
            ("manage_all", "Can change and delete what others own"),
        )

    def __str__(self) -> str:
        return self.email

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Stores it, and what has changed in the audit log: for every door, `createsuperuser` included."""
        if update_fields is not None and not {*update_fields} & {*AUDITED, "password"}:
            super().save(update_fields=update_fields, **options)  # such as `last_login`
            return
        with transaction.atomic():
            before = (
                None
                if self._state.adding
                else User.with_deleted.filter(pk=self.pk).values(*AUDITED, "password").first()
            )
            # Not where a hash is only made anew when its password is checked.
            has_password = vars(self).get("_password") is not None or not self.has_usable_password()
            super().save(update_fields=update_fields, **options)
            names = [name for name in AUDITED if before is None or update_fields is None or name in update_fields]
            after = {name: getattr(self, name) for name in names}
            kept = None if before is None else {name: before[name] for name in names}
            record_change("change" if before else "create", "user", self.pk, self.email, before=kept, after=after)
            if has_password and before is not None and before["password"] != self.password:
                record_change("set password", "user", self.pk, self.email)
                password_changed.send(sender=User, user=self)

    @property
    def jid(self) -> str:
        """The id as it stands on the wire: `urn:uuid:...`."""
        return self.id.urn

    @property
    def reaches_all(self) -> bool:
        """Whether the call that the user makes reaches what others own, too."""
        return self.is_staff and not self.is_kept_to_own

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.get_full_name()


class ApiKeyQuerySet(OwnedQuerySet["ApiKey"]):
    owner_field = "user_id"

    def alive(self, now: datetime) -> "ApiKeyQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))


def all_scopes() -> list[str]:
    return list(ALL_SCOPES)


class ApiKey(models.Model):
    """A long-lived credential. The row holds its first part and a hash of the whole."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    prefix = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=100, blank=True, default="")
    hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=10),
        default=all_scopes,
        db_default=list(ALL_SCOPES),
        help_text="Which calls it may make",
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix} {self.name}".strip()

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def new_key() -> tuple[str, str]:
    """A new key, and the prefix that it begins with."""
    prefix = f"thk_{secrets.token_hex(6)}"
    return f"{prefix}_{secrets.token_urlsafe(32)}", prefix


def hashed(key: str) -> str:
    # SHA-256 is enough: a key holds 256 random bits, so there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(key.encode()).hexdigest()


class BrowserSession(AbstractBaseSession):
    """A session of a browser. Once somebody has signed in there it is theirs, and says when and from where."""

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="browser_sessions")
    # Stays when the key changes, for a moment in two rows; and sorts by time.
    sign_in_id = models.UUIDField(null=True, db_index=True)
    signed_in_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(default=timezone.now)
    address = models.CharField(max_length=ADDRESS_MAX, default="")
    user_agent = models.CharField(max_length=USER_AGENT_MAX, default="")

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        return SessionStore


class SecondFactor(models.Model):
    """The secret of somebody's authenticator app (TOTP, RFC 6238). Once it is confirmed, a sign-in needs its code."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="second_factor")
    secret: "models.Field[Any, Any]" = EncryptedTextField()
    created_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=-1)  # the step of time of the last code, after which codes count
    failures = models.PositiveIntegerField(default=0)  # wrong codes since the last right one
    failed_at = models.DateTimeField(null=True)
    recovery_hashes = ArrayField(models.CharField(max_length=64), default=list)  # of codes that were not used yet

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"
