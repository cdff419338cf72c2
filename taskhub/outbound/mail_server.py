"""The mail server of the setting EMAIL_URL, and addresses of e-mail.

The operator wrote the server down, so it may have a private address.
"""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from taskhub.errors import Problem
from taskhub.outbound.addresses import read_host

LOG = "log"
STARTTLS, TLS = "smtp+starttls", "smtps"
_PORTS = {"smtp": 25, STARTTLS: 587, TLS: 465}
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"(?=.{{1,64}}$){_ATOM}(?:\.{_ATOM})*")
ADDRESS_MAX = 254
_WAYS = f"smtp://, {STARTTLS}:// or {TLS}://, a host, and if need be user:password@ before it and :port behind it"


@dataclass(frozen=True)
class MailServer:
    """How e-mails leave the hub: `log` writes them to its log, the other schemes say how the connection is encrypted:
    not at all, from a command on (`smtp+starttls`, RFC 3207), or from the start (`smtps`, RFC 8314)."""

    scheme: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Reads `smtp+starttls://user:password@mail.example.com:587`, or `log:`; user and password are
        percent-encoded. Raises `ValueError`, without what may be secret."""
        if url.removesuffix("//") == f"{LOG}:":
            return cls(LOG)
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"must be {LOG}: or {_WAYS}")
        if not parts.hostname or re.search(r"[^\w.:-]", parts.hostname):
            raise ValueError(f"names no host; it must be {_WAYS}")
        port = parts.port or _PORTS[parts.scheme]  # raises ValueError for what is none
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(user) != bool(password) or not (user + password).isascii():
            raise ValueError("must have a user and a password, both in ASCII, or neither")
        return cls(parts.scheme, parts.hostname, port, user, password)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def read_address(text: str) -> str:
    """An address as RFC 5321 has it, its domain in lower-case ASCII. Quoted local parts, numbers as domains, and what
    could be read as a second address or command, are none. Raises `ValueError`."""
    local_part, _, domain = text.rpartition("@")
    try:
        host = read_host(domain)
    except Problem:
        host = ""
    address = f"{local_part}@{host}"
    if not _LOCAL_PART.fullmatch(local_part) or not isinstance(host, str) or not host or len(address) > ADDRESS_MAX:
        raise ValueError("is no e-mail address, such as ada@example.com")
    return address
