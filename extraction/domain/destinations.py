"""Where a finished result is delivered, as it was sent, checked completely. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from extraction.domain.json_reader import Reader
from extraction.domain.page_urls import followable

S3, GCS, DROPBOX, ONEDRIVE, SFTP = "s3", "gcs", "dropbox", "onedrive", "sftp"
KINDS = (S3, GCS, DROPBOX, ONEDRIVE, SFTP)
OTHER_NAMES = {"google cloud storage": GCS, "google cloud": GCS, "amazon s3": S3, "microsoft onedrive": ONEDRIVE}
DESTINATIONS_MAX = 5
KEY_MAX = 20_000  # characters of a private key, or of a service account
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_OAUTH = ("accessToken", "refreshToken", "clientId", "clientSecret")
NAMES = {
    S3: frozenset(["bucket", "region", "endpoint", "accessKeyId", "secretAccessKey", "sessionToken"]),
    GCS: frozenset(["bucket", "endpoint", "credential", "accessToken"]),
    DROPBOX: frozenset(_OAUTH),
    ONEDRIVE: frozenset(_OAUTH),
    SFTP: frozenset(["host", "port", "user", "password", "privateKey", "passphrase", "hostKey"]),
}


@dataclass(frozen=True)
class Destination:
    """`options` are the values under the names in which they were sent; `path` is a folder, or empty."""

    kind: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to(self, name: str) -> str:
        """In words, without secrets: `s3://bucket/folder/name`."""
        place = self.options.get("bucket") or self.options.get("host") or ""
        return "/".join(part for part in (f"{self.kind}:/", str(place), self.path, name) if part)


class DestinationReader(Reader):
    def destinations(self, value: Any, at: str) -> list[Destination]:
        """One object, or a list of some."""
        if value is None or value in ("", {}, []):
            return []
        items = value if isinstance(value, list) else [value]
        if len(items) > DESTINATIONS_MAX:
            self.fault(at, f"Must have at most {DESTINATIONS_MAX} entries.")
        several = isinstance(value, list)
        return [self.destination(one, f"{at}/{n}" if several else at) for n, one in enumerate(items[:DESTINATIONS_MAX])]

    def destination(self, value: Any, at: str) -> Destination:
        kind = self.kind(value, at)
        if kind not in NAMES:
            return Destination(kind, "")
        given = self.mapping(value, at, NAMES[kind] | {"type", "path"})
        options = {name: given[name] for name in given if name in NAMES[kind] and given[name] not in (None, "")}
        getattr(self, kind)(options, at)
        return Destination(kind, self.path(given, at), options)

    def kind(self, value: Any, at: str) -> str:
        if not isinstance(value, Mapping):
            self.fault(at, "Must be an object.")
            return ""
        text = self.text(value, "type", at).lower()
        kind = OTHER_NAMES.get(text, text)
        if kind not in KINDS:
            self.fault(f"{at}/type", f"Must be one of {', '.join(KINDS)}.")
        return kind

    def path(self, given: Mapping[str, Any], at: str) -> str:
        path = self.text(given, "path", at, 500).strip("/")
        if any(part in {"", ".", ".."} for part in path.split("/")) and path:
            self.fault(f"{at}/path", "Must be a path without empty parts, `.` and `..`.")
        return path

    def s3(self, given: Mapping[str, Any], at: str) -> None:
        self.bucket(given, at)
        self.endpoint(given, at)
        self.all_texts(given, at, needed=("accessKeyId", "secretAccessKey"))

    def gcs(self, given: dict[str, Any], at: str) -> None:
        self.bucket(given, at)
        self.endpoint(given, at)
        if "accessToken" in given:
            self.all_texts(given, at, needed=("accessToken",))
            return
        credential = given.get("credential")
        if isinstance(credential, str):
            try:
                credential = json.loads(credential)
            except ValueError:
                credential = None
        fields = ("client_email", "private_key")
        if not isinstance(credential, Mapping) or not all(isinstance(credential.get(name), str) for name in fields):
            self.fault(f"{at}/credential", "Must be a service account's key, as Google gives it (JSON).")
        elif len(json.dumps(credential)) > KEY_MAX:
            self.fault(f"{at}/credential", f"Must have at most {KEY_MAX} characters.")
        given["credential"] = credential

    def dropbox(self, given: Mapping[str, Any], at: str) -> None:
        if "refreshToken" in given:
            self.all_texts(given, at, needed=("refreshToken", "clientId"))
        else:
            self.all_texts(given, at, needed=("accessToken",))

    onedrive = dropbox

    def sftp(self, given: Mapping[str, Any], at: str) -> None:
        if not _HOST.fullmatch(self.text(given, "host", at)):
            self.fault(f"{at}/host", "Must be a host's name or address.")
        port = self.number(given, "port", at)
        if port and port > 65535:
            self.fault(f"{at}/port", "Must be at most 65535.")
        if not self.text(given, "user", at, 200):
            self.fault(f"{at}/user", "This is required.")
        if not ("password" in given or "privateKey" in given):
            self.fault(f"{at}/password", "This, or privateKey, is required.")
        key = given.get("privateKey", "")
        if not isinstance(key, str) or len(key) > KEY_MAX:
            self.fault(f"{at}/privateKey", f"Must be a text of at most {KEY_MAX} characters.")
        if not _FINGERPRINT.fullmatch(self.text(given, "hostKey", at)):
            self.fault(f"{at}/hostKey", "Must be the server's fingerprint, SHA256:..., as `ssh-keygen -l` shows it.")
        self.all_texts({name: given[name] for name in given if name in {"password", "passphrase"}}, at)

    def bucket(self, given: Mapping[str, Any], at: str) -> None:
        if not _BUCKET.fullmatch(self.text(given, "bucket", at)):
            self.fault(f"{at}/bucket", "Must be the name of a bucket.")

    def endpoint(self, given: Mapping[str, Any], at: str) -> None:
        text = self.text(given, "endpoint", at)
        if text and followable(text) is None:
            self.fault(f"{at}/endpoint", "Must be an http or https address.")

    def all_texts(self, given: Mapping[str, Any], at: str, needed: tuple[str, ...] = ()) -> None:
        for name in given:
            if name not in {"credential"}:
                self.text(given, name, at)
        for name in needed:
            if not given.get(name):
                self.fault(f"{at}/{name}", "This is required.")


def parse_destinations(value: Any, at: str = "") -> list[Destination]:
    """Raises `Rejected` with every fault's place."""
    reader = DestinationReader()
    found = reader.destinations(value, at)
    reader.finish()
    return found
