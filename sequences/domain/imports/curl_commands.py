"""Commands of curl as requests: as documentation prints them, and as browsers copy them."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from sequences.domain.imports.placeholders import has_placeholder, read_json, without_placeholders
from sequences.domain.imports.sequence_draft import ImportedRequest, SequenceDraft
from sequences.domain.imports.shell_words import split_commands
from sequences.domain.validation_errors import InvalidSequence

# Options by their long names: those that take a value, and what one letter stands for. All others take none.
_SHORT = {
    "X": "request", "H": "header", "d": "data", "F": "form", "u": "user", "A": "user-agent", "e": "referer",
    "b": "cookie", "m": "max-time", "T": "upload-file", "K": "config", "E": "cert", "x": "proxy", "o": "output",
    "w": "write-out", "r": "range", "c": "cookie-jar", "C": "continue-at", "y": "speed-time", "Y": "speed-limit",
    "z": "time-cond", "D": "dump-header", "t": "telnet-option", "Q": "quote", "P": "ftp-port", "U": "proxy-user",
    "G": "get", "I": "head", "L": "location", "k": "insecure", "n": "netrc",
}  # fmt: skip
_VALUED = frozenset(_SHORT.values()) - {"get", "head", "location", "insecure", "netrc"} | {
    *("url", "url-query", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "form-string"),
    *("oauth2-bearer", "connect-timeout", "retry", "retry-delay", "retry-max-time", "max-redirs", "resolve"),
    *("connect-to", "unix-socket", "abstract-unix-socket", "interface", "cacert", "capath", "key", "key-type"),
    *("cert-type", "pass", "ciphers", "tls-max", "aws-sigv4", "proto", "proto-default", "proto-redir", "limit-rate"),
    *("max-filesize", "noproxy", "proxy-header", "socks5", "socks5-hostname", "socks4", "socks4a", "preproxy"),
    *("stderr", "trace", "trace-ascii", "output-dir", "dns-servers", "doh-url", "keepalive-time", "local-port"),
    *("netrc-file", "pinnedpubkey", "rate", "request-target", "etag-save", "etag-compare", "parallel-max"),
    *("expect100-timeout", "happy-eyeballs-timeout-ms", "create-file-mode", "crlfile", "curves", "variable"),
}
_DATA = ("data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json")
# What would change the answer, and is left out.
_IGNORED = frozenset(
    {"upload-file", "config", "cert", "key", "cacert", "capath", "proxy", "proxy-user", "insecure", "netrc", "resolve"}
    | {"connect-to", "unix-socket", "abstract-unix-socket", "interface", "aws-sigv4", "digest", "ntlm", "negotiate"}
    | {"range", "cookie-jar", "socks5", "socks5-hostname", "socks4", "socks4a", "preproxy", "netrc-file", "anyauth"}
    | {"request-target", "time-cond", "continue-at", "doh-url", "etag-compare", "variable", "proto-default"}
)
_FILE_FIELD = re.compile(r"(?:;\s*(type|filename|encoder|headers)=(\"(?:[^\"\\]++|\\.)*+\"|[^;]*))+\Z")
_FIELD_PARAMETER = re.compile(r";\s*(type|filename|encoder|headers)=(\"(?:[^\"\\]++|\\.)*+\"|[^;]*)")
PARAMETERS_MAX = 1000  # characters behind the content of a part
Options = list[tuple[str, str]]


def import_curl(source: Any, draft: SequenceDraft) -> None:
    """Adds each curl command of a text. Raises `InvalidSequence` where there is none, or one cannot be read."""
    if not isinstance(source, str):
        raise InvalidSequence([{"path": "source", "detail": "A curl command is text."}])
    text = re.sub(r"(?m)^[ \t]*[$%>][ \t]+(?=curl)", "", without_placeholders(source))
    commands = split_commands(text, lambda name: draft.variable(name, "source"))
    found = 0
    for command in commands:
        program = command[0].replace("\\", "/").rpartition("/")[2].lower()
        if program not in ("curl", "curl.exe"):
            draft.warn(
                "source", f"The command {draft.placeholders.plain(command[0])[:40]} is left out: it is not curl."
            )
            continue
        for words in _transfers(command[1:]):
            found += 1
            _add(_options(words, f"commands[{found - 1}]", draft), f"commands[{found - 1}]", draft)
    if not found:
        raise InvalidSequence([{"path": "source", "detail": "There is no curl command in this."}])


def _transfers(words: list[str]) -> Iterator[list[str]]:
    """The words between `--next`, behind each of which options begin anew."""
    transfer: list[str] = []
    for word in words:
        if word in ("--next", "-:"):
            yield transfer
            transfer = []
        else:
            transfer.append(word)
    yield transfer


def _options(words: list[str], place: str, draft: SequenceDraft) -> Options:
    """The options by their long names, with their values or an empty text; what is none is a `url`."""
    options: Options = []
    waiting = words[::-1]

    def value_of(name: str) -> str:
        if not waiting:
            raise InvalidSequence([{"path": "source", "detail": f"{place}: the option {name} has no value."}])
        return waiting.pop()

    only_addresses = False
    while waiting:
        word = waiting.pop()
        if only_addresses or word == "-" or not word.startswith("-"):
            options.append(("url", word))
        elif word == "--":
            only_addresses = True
        elif word.startswith("--"):
            name = word[2:]
            options.append((name, value_of(word) if name in _VALUED else ""))
        else:
            for position, letter in enumerate(word[1:], start=2):
                name = _SHORT.get(letter, letter)
                if name in _VALUED:
                    value = word[position:] or value_of(word)
                    options.append((name, value.removeprefix("=") if name == "request" and word[position:] else value))
                    break
                options.append((name, ""))
    return options


def _add(options: Options, place: str, draft: SequenceDraft) -> None:
    """Adds the requests of one transfer: one for each of its addresses."""
    given = dict(options)
    urls = [value for name, value in options if name == "url"]
    if not urls:
        raise InvalidSequence([{"path": "source", "detail": f"{place} has no address."}])
    for name, _ in options:
        if name in _IGNORED:
            draft.warn(place, f"The option {name} is left out.")
    request = ImportedRequest(place, "GET", "", more=_more(given))
    _read_headers(options, request, draft)
    body = _read_body(options, request, draft)
    query = [_url_encoded(value, place, draft) for name, value in options if name == "url-query"]
    if "get" in given and body:
        query.append(body)
    has_body = request.text is not None or request.json is not None or request.parts is not None
    request.method = given.get("request") or ("HEAD" if "head" in given else "POST" if has_body else "GET")
    for url in urls:
        if re.search(r"\{[^{},]*,[^{}]*\}|\[\d+-\d+", url):
            draft.warn(place, "What curl makes several addresses of is taken as it is.")
        parts = [part for part in query if part]
        request.url = url + ("&" if "?" in url else "?") * bool(parts) + "&".join(parts)
        draft.add(request)


def _more(given: dict[str, str]) -> dict[str, Any]:
    """What else curl's options say of the step."""
    more: dict[str, Any] = {}
    if not given.keys() & {"location", "location-trusted"}:
        more["follow_redirects"] = False
    times = {
        key: float(given[name])
        for key, name in (("total", "max-time"), ("connect", "connect-timeout"))
        if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", given.get(name, "")) and float(given[name]) > 0
    }
    if times:
        more["timeout"] = times["total"] if list(times) == ["total"] else times
    if re.fullmatch("[1-9][0-9]?", given.get("retry", "")):
        retry: dict[str, Any] = {"attempts": int(given["retry"]) + 1, "unsafe": True}
        if re.fullmatch("[0-9]{1,4}", given.get("retry-delay", "")):
            retry |= {"delay": int(given["retry-delay"]), "backoff": "constant"}
        more["retry"] = retry
    return more


def _read_headers(options: Options, request: ImportedRequest, draft: SequenceDraft) -> None:
    for name, value in options:
        if name == "header":
            if value.startswith("@"):
                draft.warn(request.place, f"The headers in the file {value[1:101]} are left out.")
            elif ":" in value:
                header, _, text = value.partition(":")
                if text.strip():  # without a text curl does not send the header
                    request.headers.append((header.strip(), text.strip()))
            elif value.endswith(";"):
                request.headers.append((value[:-1].strip(), ""))
        elif name in ("user-agent", "referer") and value:
            request.headers.append(({"user-agent": "User-Agent"}.get(name, "Referer"), value.removesuffix(";auto")))
        elif name == "cookie":
            if "=" in value or has_placeholder(value):
                request.headers.append(("Cookie", value))
            else:
                draft.warn(request.place, f"The cookies in the file {value[:100]} are left out.")
        elif name == "user":
            user, _, password = value.partition(":")
            request.auth = ("basic", user, password)
        elif name == "oauth2-bearer":
            request.auth = ("bearer", value)


def _read_body(options: Options, request: ImportedRequest, draft: SequenceDraft) -> str:
    """Gives the request its body; returns it as text, where it has one."""
    parts = [value for name, value in options if name in ("form", "form-string")]
    if parts:
        request.parts = [
            _part(value, name == "form-string", request.place, draft)
            for name, value in options
            if name in ("form", "form-string")
        ]
        return ""
    pieces = [(name, value) for name, value in options if name in _DATA]
    if not pieces:
        return ""
    texts = [_data(name, value, request.place, draft) for name, value in pieces]
    stated = {name.lower() for name, _ in request.headers}
    if any(name == "json" for name, _ in pieces):
        text = "".join(texts)
        defaults = [("Content-Type", "application/json"), ("Accept", "application/json")]
    else:
        text = "&".join(texts)
        defaults = [("Content-Type", "application/x-www-form-urlencoded")]
        if "content-type" not in stated and _is_json(text):
            draft.warn(request.place, "The body looks like JSON, and curl sends it as a form; it is sent as JSON here.")
            defaults = [("Content-Type", "application/json")]
    if not any(name == "get" for name, _ in options):
        request.headers += [(name, value) for name, value in defaults if name.lower() not in stated]
        request.text = text
    return text


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def _data(name: str, value: str, place: str, draft: SequenceDraft) -> str:
    if name == "data-urlencode":
        return _url_encoded(value, place, draft)
    if value.startswith("@") and name != "data-raw":
        return _file(value[1:], place, draft)
    return value.replace("\r", "").replace("\n", "") if name in ("data", "data-ascii") and "{" not in value else value


def _url_encoded(value: str, place: str, draft: SequenceDraft) -> str:
    """What `--data-urlencode` makes of its value: `content`, `=content`, `name=content`, `@file` or `name@file`."""
    separator = re.search("[=@]", value)
    if separator is None:
        return _quoted(value)
    name, content = value[: separator.start()], value[separator.end() :]
    content = _file(content, place, draft) if separator[0] == "@" else _quoted(content)
    return f"{name}={content}" if name else content


def _quoted(text: str) -> str:
    return text if has_placeholder(text) else quote_plus(text)


def _part(value: str, is_text: bool, place: str, draft: SequenceDraft) -> tuple[str, Any]:
    """A part of `-F name=content`, `name=@file` or `name=<file`, with `;type=` and `;filename=` behind it."""
    name, _, content = value.partition("=")
    if is_text:
        return name, content
    parameters: dict[str, str] = {}
    start = max(0, len(content) - PARAMETERS_MAX)
    if ended := _FILE_FIELD.search(content, start):
        parameters = {key: text.strip('"') for key, text in _FIELD_PARAMETER.findall(ended[0])}
        content = content[: ended.start()]
    part: dict[str, Any] = {}
    if content.startswith("@"):
        file = content[1:].strip('"')
        part["filename"] = re.split(r"[\\/]", file)[-1]
        content = _file(file, place, draft)
    elif content.startswith("<"):
        content = _file(content[1:], place, draft)
    part |= {"filename": parameters["filename"]} if "filename" in parameters else {}
    part |= {"content_type": parameters["type"]} if "type" in parameters else {}
    return name, {**part, "content": content} if part else content.removeprefix('"').removesuffix('"')


def _file(name: str, place: str, draft: SequenceDraft) -> str:
    """What stands for the content of a file, which the source does not have."""
    return draft.file(draft.placeholders.plain(name), place)
