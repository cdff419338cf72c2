"""Where a finished result is delivered: as users send it, checked completely, and as it is stored. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from extraction.domain.request_addresses import OptionalAddress
from taskhub.jsontools.json_models import REQUIRED_WORDS, Count, JsonModel, RequiredText, Text, payload_rejected
from taskhub.jsontools.schema import invalid_places, invalid_value

S3, GCS, DROPBOX, ONEDRIVE, SFTP = "s3", "gcs", "dropbox", "onedrive", "sftp"
KINDS = (S3, GCS, DROPBOX, ONEDRIVE, SFTP)
OTHER_NAMES = {"google cloud storage": GCS, "google cloud": GCS, "amazon s3": S3, "microsoft onedrive": ONEDRIVE}
DESTINATIONS_MAX = 5
KEY_MAX = 20_000  # characters of a private key, or of a service account

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def _kind(value: Any) -> str:
    """The kind of a destination, by any name that it is known under."""
    text = value.get("type") if isinstance(value, Mapping) else getattr(value, "kind", None)
    lower = text.lower() if isinstance(text, str) else ""
    return OTHER_NAMES.get(lower, lower)


def _check_kind(value: Any) -> Any:
    if not isinstance(value, Mapping | Destination):
        raise invalid_value("Must be an object.")
    if _kind(value) not in KINDS:
        raise invalid_places([(("type",), f"Must be one of {', '.join(KINDS)}.")])
    return value


def matches_pattern(pattern: re.Pattern[str], words: str) -> Any:
    """A validator of texts that a pattern must match as a whole; `words` say what the text must be."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid_value(words)
        return value

    return BeforeValidator(validate)


Bucket = Annotated[str, matches_pattern(_BUCKET, "Must be the name of a bucket.")]
Host = Annotated[str, matches_pattern(_HOST, "Must be a host's name or address.")]
Fingerprint = Annotated[
    str, matches_pattern(_FINGERPRINT, "Must be the server's fingerprint, SHA256:..., as `ssh-keygen -l` shows it.")
]


class Destination(JsonModel):
    """A folder of some storage; `path` is the folder's, or empty. Secrets do not show in its repr."""

    model_config = ConfigDict(alias_generator=to_camel)

    kind: Annotated[str, BeforeValidator(lambda kind: _kind({"type": kind}))] = Field(alias="type")
    path: Text = Field("", max_length=500)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: inner for name, inner in value.items() if inner != ""}
        return value

    @field_validator("path")
    @classmethod
    def _is_clean(cls, path: str) -> str:
        path = path.strip("/")
        if path and any(part in {"", ".", ".."} for part in path.split("/")):
            raise invalid_value("Must be a path without empty parts, `.` and `..`.")
        return path

    @property
    def options(self) -> Mapping[str, Any]:
        """All other values, under the names in which they were sent."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude={"kind", "path"})

    @property
    def server(self) -> str:
        """The name of its bucket or host; empty where it has none."""
        return ""

    def describe(self, name: str) -> str:
        """Where a file goes, without secrets: `s3://bucket/folder/name`."""
        return "/".join(part for part in (f"{self.kind}:/", self.server, self.path, name) if part)

    def _require(self, *names: str) -> None:
        """Raises `invalid_places` for each value that is missing."""
        if faults := [((to_camel(name),), REQUIRED_WORDS) for name in names if not getattr(self, name)]:
            raise invalid_places(faults)


class _BucketDestination(Destination):
    """A bucket of some storage."""

    bucket: Bucket
    endpoint: OptionalAddress | None = None

    @property
    def server(self) -> str:
        return self.bucket


class S3Destination(_BucketDestination):
    """S3, or another storage with its protocol, at an `endpoint`."""

    region: Text | None = None
    access_key_id: RequiredText
    secret_access_key: RequiredText = Field(repr=False)
    session_token: Text | None = Field(None, repr=False)


class GcsDestination(_BucketDestination):
    """Google Cloud Storage, by an access token or a service account's key."""

    access_token: Text | None = Field(None, repr=False)
    credential: Any = Field(None, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _has_credential(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("accessToken") not in (None, ""):
            return value
        credential = value.get("credential")
        if isinstance(credential, str):
            try:
                credential = json.loads(credential)
            except ValueError:
                credential = None
        names = ("client_email", "private_key")
        if not isinstance(credential, Mapping) or not all(isinstance(credential.get(name), str) for name in names):
            raise invalid_places([(("credential",), "Must be a service account's key, as Google gives it (JSON).")])
        if len(json.dumps(credential)) > KEY_MAX:
            raise invalid_places([(("credential",), f"Must have at most {KEY_MAX} characters.")])
        return {**value, "credential": credential}


class OAuthDestination(Destination):
    """Dropbox or OneDrive, by an access token, or by a refresh token of a client."""

    access_token: Text | None = Field(None, repr=False)
    refresh_token: Text | None = Field(None, repr=False)
    client_id: Text | None = None
    client_secret: Text | None = Field(None, repr=False)

    @model_validator(mode="after")
    def _has_token(self) -> Self:
        self._require("client_id" if self.refresh_token else "access_token")
        return self


class SftpDestination(Destination):
    """A server whose key is known, by a password or a private key."""

    host: Host
    port: Annotated[Count, Field(le=65535)] | None = None
    user: RequiredText = Field(max_length=200)
    password: Text | None = Field(None, repr=False)
    private_key: str | None = Field(None, max_length=KEY_MAX, repr=False)
    passphrase: Text | None = Field(None, repr=False)
    host_key: Fingerprint

    @property
    def server(self) -> str:
        return self.host

    @model_validator(mode="after")
    def _has_secret(self) -> Self:
        if not (self.password or self.private_key):
            raise invalid_places([(("password",), "This, or privateKey, is required.")])
        return self


_DESTINATIONS: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        list[
            Annotated[
                Annotated[S3Destination, Tag(S3)]
                | Annotated[GcsDestination, Tag(GCS)]
                | Annotated[OAuthDestination, Tag(DROPBOX)]
                | Annotated[OAuthDestination, Tag(ONEDRIVE)]
                | Annotated[SftpDestination, Tag(SFTP)],
                Discriminator(_kind),
                BeforeValidator(_check_kind),
            ]
        ],
        Field(max_length=DESTINATIONS_MAX),
    ]
)


_MODELS: Mapping[str, type[Destination]] = {
    S3: S3Destination,
    GCS: GcsDestination,
    DROPBOX: OAuthDestination,
    ONEDRIVE: OAuthDestination,
    SFTP: SftpDestination,
}


def parse_destinations(value: Any, at: str = "") -> list[Destination]:
    """Reads destinations: one object, or a list. Raises `Rejected` with every fault's place, under `at`."""
    if value is None or value in ("", {}, []):
        return []
    try:
        return list(_DESTINATIONS.validate_python(value if isinstance(value, list) else [value]))
    except ValidationError as error:
        raise payload_rejected(error, value, at=at) from None


def serialize_destinations(destinations: Iterable[Destination]) -> list[dict[str, Any]]:
    """Destinations as tasks and processes store them, encrypted."""
    return [{"type": destination.kind, "path": destination.path, **destination.options} for destination in destinations]


def load_destinations(stored: Iterable[Mapping[str, Any]]) -> list[Destination]:
    """Loads destinations as `serialize_destinations` made them; nothing is checked again."""
    return [_MODELS[values["type"]].model_construct(**values) for values in stored]
