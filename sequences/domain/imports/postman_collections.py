"""Collections of Postman (v2.1, and v2.0) as requests: folders in their order, variables, and what they inherit."""

import re
from typing import Any
from urllib.parse import quote

from sequences.domain.imports.placeholders import read_json, without_placeholders
from sequences.domain.imports.sequence_draft import ImportedRequest, SequenceDraft
from sequences.domain.imports.source_reader import SourceReader
from sequences.domain.validation_errors import InvalidSequence

FOLDERS_MAX = 50  # in each other
_VARIABLE = re.compile(r"\{\{([^{}]{1,200})\}\}")
_PATH_VARIABLE = re.compile(r"(?<=/):([A-Za-z_][\w-]*)")
# Postman's own variables, by what gives the same here.
_DYNAMIC = {
    "$guid": "uuid()", "$randomUUID": "uuid()", "$isoTimestamp": "now()", "$timestamp": 'now() | date("%s")'
}  # fmt: skip
_TYPES = {
    "json": "application/json", "xml": "application/xml", "html": "text/html", "javascript": "application/javascript"
}  # fmt: skip


def import_postman(source: Any, draft: SequenceDraft) -> None:
    """Adds the requests of a collection. Raises `InvalidSequence` with the places of what is no collection."""
    reader = SourceReader(source, "A collection")
    collection = reader.value
    if "collection" in collection:  # as Postman's API wraps it
        collection = reader.object(collection, "collection", required=True)
    if "item" not in collection and "requests" in collection:
        detail = "This is a collection of version 1; export it as v2.1."
        raise InvalidSequence([{"path": "source", "detail": detail}])
    _CollectionReader(reader, draft).read(collection)
    reader.finish()


class _CollectionReader:
    def __init__(self, reader: SourceReader, draft: SequenceDraft) -> None:
        self._reader, self._draft = reader, draft

    def read(self, collection: Any) -> None:
        for index, variable in enumerate(self._enabled(collection, "variable")):
            name = self._reader.text(variable, f"variable[{index}].key") or self._reader.text(
                variable, f"variable[{index}].id"
            )
            if name and variable.get("type") != "secret":
                self._draft.save(name, self._text(variable, f"variable[{index}].value"))
        self._warn_of_scripts(collection, "the collection")
        self._items(collection, "", [], collection.get("auth"))

    def _items(self, holder: Any, place: str, folders: list[str], auth: Any) -> None:
        path = f"{place}item"
        for index, item in enumerate(self._reader.list(holder, path, required=True)):
            here = f"{path}[{index}]"
            name = self._reader.text(item, f"{here}.name")
            if not isinstance(item, dict):
                self._reader.fault(here, "This is an object: a request or a folder.")
                continue
            self._warn_of_scripts(item, here)
            inherited = item["auth"] if isinstance(item.get("auth"), dict) else auth
            if "item" in item and len(folders) < FOLDERS_MAX:
                self._items(item, f"{here}.", [*folders, name], inherited)
            elif "item" in item:
                self._reader.fault(here, f"Folders stand in each other at most {FOLDERS_MAX} deep.")
            else:
                self._request(item, here, " / ".join([*folders, name]), inherited)

    def _request(self, item: dict[str, Any], place: str, title: str, auth: Any) -> None:
        here = f"{place}.request"
        request = item.get("request")
        if isinstance(request, str):
            request = {"url": request}
        request = self._reader.object({"request": request}, here, required=True)
        headers = self._headers(request, here)
        url = self._url(request.get("url"), f"{here}.url")
        imported = ImportedRequest(
            place,
            self._reader.text(request, f"{here}.method") or "GET",
            url,
            title,
            self._description(request.get("description") or item.get("description")),
            headers,
        )
        self._body(request, here, imported)
        self._auth(request["auth"] if request.get("auth") else auth, imported, f"{here}.auth")
        behavior = item.get("protocolProfileBehavior")
        if isinstance(behavior, dict) and behavior.get("followRedirects") is False:
            imported.more["follow_redirects"] = False
        self._draft.add(imported)

    def _headers(self, request: dict[str, Any], place: str) -> list[tuple[str, str]]:
        """A list of pairs, or a text with a header on each line."""
        headers = request.get("header")
        if isinstance(headers, str):
            lines = [line.partition(":") for line in headers.splitlines() if ":" in line]
            return [(name.strip(), self._with_variables(value.strip(), place)) for name, _, value in lines]
        return [
            (name, self._text(header, f"{place}.header[{index}].value"))
            for index, header in enumerate(self._enabled(request, "header", place))
            if (name := self._reader.text(header, f"{place}.header[{index}].key"))
        ]

    def _url(self, url: Any, place: str) -> str:
        """The address, of which `raw` is the whole; its variables of the path take the place of `:name`."""
        if isinstance(url, str):
            return self._with_variables(url, place)
        if not isinstance(url, dict):
            self._reader.fault(place, "This is required: a text or an object.")
            return ""
        raw = self._reader.text(url, f"{place}.raw") or self._joined(url, place)
        text = self._with_variables(raw, place)
        values = {
            self._reader.text(variable, f"{place}.variable.key"): self._text(variable, f"{place}.variable.value")
            for variable in self._enabled(url, "variable", place)
        }
        address, mark, query = text.partition("?")
        address = _PATH_VARIABLE.sub(
            lambda match: quote(values[match[1]], safe="\ue000\ue001") if values.get(match[1])
            else self._draft.variable(match[1], place) if match[1] in values else match[0],
            address,
        )  # fmt: skip
        return address + mark + query

    def _joined(self, url: dict[str, Any], place: str) -> str:
        """An address of its parts."""
        host, path = (
            separator.join(str(part.get("value", "") if isinstance(part, dict) else part) for part in parts)
            if isinstance(parts := url.get(key), list)
            else str(parts or "")
            for key, separator in (("host", "."), ("path", "/"))
        )
        protocol = f"{url['protocol']}://" if isinstance(url.get("protocol"), str) else ""
        port = f":{url['port']}" if url.get("port") else ""
        pairs = [
            "=".join(self._reader.text(pair, f"{place}.query.{key}") for key in ("key", "value"))
            for pair in self._enabled(url, "query", place)
        ]
        path = f"/{path.removeprefix('/')}" if path else ""
        return f"{protocol}{host}{port}{path}{'?' if pairs else ''}{'&'.join(pairs)}"

    def _body(self, request: dict[str, Any], place: str, imported: ImportedRequest) -> None:
        here = f"{place}.body"
        body = self._reader.object(request, here)
        mode = self._reader.text(body, f"{here}.mode")
        if not mode or body.get("disabled") is True:
            return
        stated = any(name.lower() == "content-type" for name, _ in imported.headers)
        if mode == "raw":
            imported.text = self._text(body, f"{here}.raw")
            options = self._reader.object(body, f"{here}.options")
            language = self._reader.text(
                self._reader.object(options, f"{here}.options.raw"), f"{here}.options.raw.language"
            )
            if not stated:
                imported.headers.append(("Content-Type", _TYPES.get(language, "text/plain")))
        elif mode == "urlencoded":
            fields = self._enabled(body, "urlencoded", here)
            imported.form = [
                (self._text(field, f"{here}.urlencoded.key"), self._text(field, f"{here}.urlencoded.value"))
                for field in fields
            ]
        elif mode == "formdata":
            fields = self._enabled(body, "formdata", here)
            imported.parts = [
                (self._text(field, f"{here}.formdata.key"), self._part(field, f"{here}.formdata")) for field in fields
            ]
        elif mode == "graphql":
            self._graphql(self._reader.object(body, f"{here}.graphql"), f"{here}.graphql", imported)
        else:
            file = self._reader.object(body, f"{here}.file") if mode == "file" else {}
            name = self._reader.text(file, f"{here}.file.src") or "body"
            imported.text = self._draft.file(name, place)

    def _graphql(self, graphql: dict[str, Any], place: str, imported: ImportedRequest) -> None:
        variables = self._text(graphql, f"{place}.variables")
        imported.json = {"query": self._text(graphql, f"{place}.query")}
        if variables.strip():
            try:
                imported.json["variables"] = read_json(variables)
            except ValueError:
                self._draft.warn(imported.place, "The variables of the GraphQL query are no JSON; they are left out.")

    def _part(self, field: Any, place: str) -> Any:
        kind = self._reader.text(field, f"{place}.contentType")
        typed = {"content_type": kind} if kind else {}
        if self._reader.text(field, f"{place}.type") != "file":
            value = self._text(field, f"{place}.value")
            return {"content": value, **typed} if typed else value
        source = field.get("src")
        source = source[0] if isinstance(source, list) and source else source
        name = re.split(r"[\\/]", source)[-1] if isinstance(source, str) else "file"
        return {"filename": name, "content": self._draft.file(name, place), **typed}

    def _auth(self, auth: Any, imported: ImportedRequest, place: str) -> None:
        if not isinstance(auth, dict) or auth.get("type") in (None, "noauth"):
            return
        kind = str(auth["type"])
        given = auth.get(kind)
        if isinstance(given, list):  # v2.1; in v2.0 it is an object
            given = {str(pair.get("key")): pair.get("value") for pair in given if isinstance(pair, dict)}
        values = {
            name: self._with_variables(value if isinstance(value, str) else "", place)
            for name, value in (given if isinstance(given, dict) else {}).items()
        }
        if kind == "bearer":
            imported.auth = ("bearer", values.get("token", ""))
        elif kind == "basic":
            imported.auth = ("basic", values.get("username", ""), values.get("password", ""))
        elif kind == "apikey":
            name, value = values.get("key", "") or "X-API-Key", values.get("value", "")
            if values.get("in") == "query":
                imported.url += (
                    f"{'&' if '?' in imported.url else '?'}{quote(name)}={self._draft.secret(name, value, place)}"
                )
            else:
                imported.headers.append((name, self._draft.secret(name, value, place)))
        elif kind == "oauth2" and values.get("accessToken"):
            imported.auth = ("bearer", values["accessToken"])
        else:
            self._draft.warn(imported.place, f"The authorization {kind[:40]} is left out.")

    # Texts

    def _enabled(self, holder: Any, name: str, place: str = "") -> list[Any]:
        entries = self._reader.list(holder, f"{place}.{name}" if place else name)
        return [entry for entry in entries if isinstance(entry, dict) and entry.get("disabled") is not True]

    def _text(self, holder: Any, place: str) -> str:
        return self._with_variables(self._reader.text(holder, place), place)

    def _with_variables(self, text: str, place: str) -> str:
        """The text with placeholders for `{{variables}}`."""
        return _VARIABLE.sub(lambda match: self._variable(match[1].strip(), place), without_placeholders(text))

    def _variable(self, name: str, place: str) -> str:
        if name in _DYNAMIC:
            return self._draft.placeholders.add(_DYNAMIC[name])
        return self._draft.variable(name.removeprefix("$"), place)

    def _description(self, description: Any) -> str:
        text = description.get("content") if isinstance(description, dict) else description
        return text if isinstance(text, str) else ""

    def _warn_of_scripts(self, holder: Any, place: str) -> None:
        events = holder.get("event") if isinstance(holder, dict) else None
        for event in events if isinstance(events, list) else ():
            script = event.get("script") if isinstance(event, dict) else None
            lines = script.get("exec") if isinstance(script, dict) else None
            lines = lines if isinstance(lines, list) else [lines]
            if any(isinstance(line, str) and line.strip() for line in lines):
                what = "before the request" if event.get("listen") == "prerequest" else "after the answer"
                self._draft.warn(place, f"The script {what} is left out: what it does may be an assign or an expect.")
