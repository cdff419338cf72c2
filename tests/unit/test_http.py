"""REST plumbing: what becomes of exceptions, bodies and Accept headers. No database."""

import io
import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import OperationalError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub import errors
from taskhub.errors import Problem, Rejected, TooLarge
from taskhub.web.ndjson import NDJSON, NdjsonRenderer, StrictNegotiation
from taskhub.web.problems import PROBLEM_TYPE, as_problem, problem_response
from taskhub.web.rest_policies import read_body

FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Problem)]


class Echo(APIView):
    """Answers with the body that it was sent, or raises what the test gave it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    failure: Exception | None = None

    def post(self, request: Request) -> Response:
        if self.failure:
            raise self.failure
        body: Any = request.data
        return Response(dict(body.items()))


def send(body: bytes | str = b"", content_type: str = "application/json", failure: Any = None, **meta: Any) -> Any:
    request = RequestFactory().generic("POST", "/x", body, content_type, **meta)
    return Echo.as_view(failure=failure)(request).render()


# Problems


@pytest.mark.parametrize("kind", FAMILY)
def test_every_kind_of_problem_is_rfc_9457(kind: type[Problem]) -> None:
    raised = kind("Because.", errors=[{"pointer": "/a", "detail": "No."}], retry_after=3, report=[1])
    for answer in (send(failure=raised), problem_response(raised)):
        assert (answer.status_code, answer["Content-Type"]) == (kind.status, PROBLEM_TYPE)
        assert json.loads(answer.content) == {
            "type": kind.type,
            "title": kind.title,
            "status": kind.status,
            "detail": "Because.",
            "errors": [{"pointer": "/a", "detail": "No."}],
            "success": False,
            "report": [1],
        }
        assert answer["Retry-After"] == "3"
        assert answer.has_header("WWW-Authenticate") == (kind.status == 401)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (exceptions.NotAuthenticated(), 401),
        (exceptions.AuthenticationFailed(), 401),
        (exceptions.PermissionDenied(), 403),
        (exceptions.NotFound(), 404),
        (exceptions.MethodNotAllowed("PUT"), 405),
        (exceptions.ParseError(), 400),
        (exceptions.UnsupportedMediaType("text/xml"), 415),
        (Http404(), 404),
        (PermissionDenied(), 403),
        (ValidationError("no"), 400),
        (SuspiciousOperation("no"), 400),
        (RequestDataTooBig("no"), 413),
        (MultiPartParserError("no"), 400),
        (OperationalError("gone"), 503),
        (ZeroDivisionError("division"), 500),
    ],
)
def test_every_exception_is_a_problem(raised: Exception, status: int) -> None:
    found = as_problem(raised)
    assert found.status == status
    assert found.detail


def test_waiting_time_is_rounded_up() -> None:
    assert as_problem(exceptions.Throttled(wait=0.2)).retry_after == 1
    assert as_problem(exceptions.Throttled(wait=1.2)).retry_after == 2


def test_places_of_nested_fields() -> None:
    detail: Any = {"a/b": ["x"], "list": [{}, {"k": ["y", "z"]}], "non_field_errors": ["w"]}
    places = {(one["pointer"], one["detail"]) for one in as_problem(exceptions.ValidationError(detail)).errors}
    assert places == {("/a~1b", "x"), ("/list/1/k", "y"), ("/list/1/k", "z"), ("", "w")}


def test_a_fault_tells_nothing_of_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    answer = send(failure=RuntimeError("the inside"))
    assert answer.status_code == 500
    assert b"inside" not in answer.content
    assert "the inside" in caplog.text


# Bodies


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json(content_type: str) -> None:
    assert json.loads(send('{"a": [1, "é"]}', content_type).content) == {"a": [1, "é"]}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_no_body_is_empty(content_type: str) -> None:
    assert json.loads(send(b"", content_type).content) == {}


def test_form_and_json_under_its_name() -> None:
    form = "application/x-www-form-urlencoded"
    assert json.loads(send("a=1&b=%C3%A9+&c=", form).content) == {"a": "1", "b": "é ", "c": ""}
    assert json.loads(send(' {"a": 1}', form).content) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff", "application/json"),
        ("[" * 200, "application/json"),
        ("a=%ff", "application/x-www-form-urlencoded"),
        ("&".join("a=1" for _ in range(1001)), "application/x-www-form-urlencoded"),
        (b"no boundary", "multipart/form-data"),
        (b"--b\r\nbroken", "multipart/form-data; boundary=\xe9"),
    ],
)
def test_broken_body_is_a_400(body: bytes, content_type: str) -> None:
    answer = send(body, content_type)
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM_TYPE)


def form(*parts: bytes) -> bytes:
    """A multipart form of parts that begin with their heads."""
    return b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--b--\r\n"


MULTIPART = "multipart/form-data; boundary=b"
LATIN = b"Content-Type: text/plain; charset=ISO-8859-1\r\n\r\nzw\xf6lf"  # as Apache's HttpClient sends texts


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([b'name="a"\r\n\r\nzw\xc3\xb6lf', b"name=b\r\n\r\n"], {"a": "zwölf", "b": ""}),
        ([b'name="a"\r\n' + LATIN], {"a": "zwölf"}),
        ([b'name="a"\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\nzw\xc3\xb6lf'], {"a": "zwölf"}),
        ([b'name="a"\r\nContent-Type: text/plain; charset=UTF-16\r\n\r\n' + "zwölf".encode("utf-16")], {"a": "zwölf"}),
        ([b'name="a"\r\n\r\n\xef\xbb\xbf1'], {"a": "1"}),
        ([b'name="_charset_"\r\n\r\niso-8859-1', b'name="a"\r\n\r\nzw\xf6lf'], {"a": "zwölf"}),
        ([b'name="a"\r\n\r\nzw\xf6lf', b'name="_charset_"\r\n\r\niso-8859-1'], {"a": "zwölf"}),
        ([b'name="zw\xc3\xb6lf"\r\n\r\n12'], {"zwölf": "12"}),
        ([b'name="a"\r\nContent-Transfer-Encoding: BASE64\r\n\r\nenfD\r\ntmxm'], {"a": "zwölf"}),
        ([b'name="a"\r\nContent-Type: application/json\r\n\r\n"zw\\u00f6lf"'], {"a": "zwölf"}),
        ([b'name="a"\r\nContent-Type: application/json\r\n\r\n{"b": "c"}'], {"a": '{"b": "c"}'}),
        ([b'name="a"\r\nContent-Type: text/plain\r\n\r\n"quoted"'], {"a": '"quoted"'}),
        # an input for files that was left empty
        ([b'name="a"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n', b"name=b\r\n\r\n1"], {"b": "1"}),
        ([b'name="a"; filename=""\r\n\r\n'], {}),
        ([b'name="a"; filename=""\r\n\r\n1'], {"a": "1"}),
    ],
)
def test_the_parts_of_a_form_are_read_as_their_heads_say(parts: list[bytes], fields: dict[str, str]) -> None:
    for content_type in (MULTIPART, MULTIPART.replace("multipart/form-data", "Multipart/Form-Data")):
        assert json.loads(send(form(*parts), content_type).content) == fields


@pytest.mark.parametrize(
    ("part", "place", "word"),
    [
        (b'name="a"\r\n\r\nzw\xf6lf', "/a", "utf-8"),
        (b'name="a/b"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\xf6', "/a~1b", "ascii"),
        (b'name="a"\r\nContent-Type: text/plain; charset=klingon\r\n\r\nb', "/a", "klingon"),
        (b'name="a"\r\nContent-Type: application/json\r\n\r\n"b', "/a", "Unterminated"),
        (b'name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\nYW', "/a", "base64"),
        (b'name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\nYW*=', "/a", "base64"),
        (b'name="a"\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nb', "/a", "x-uuencode"),
        (b'name="a"; filename="../.."\r\n\r\nb', "/a", "name of a file"),
        (b'name="a"; filename="caf\xe9.png"\r\n\r\nb', "", "Part 1"),
        (b"filename=b.png\r\n\r\nb", "", "Part 1"),
    ],
)
def test_a_part_that_cannot_be_read_is_told(part: bytes, place: str, word: str) -> None:
    answer = send(form(part, b"name=x\r\n\r\n1"), MULTIPART)
    (error,) = json.loads(answer.content)["errors"]
    assert (answer.status_code, error["pointer"], word in error["detail"]) == (400, place, True), error


@pytest.mark.parametrize(
    ("body", "content_type", "fields"),
    [
        (b"a=zw%F6lf", "application/x-www-form-urlencoded; charset=ISO-8859-1", {"a": "zwölf"}),
        (b"a=zw\xf6lf", "application/x-www-form-urlencoded; charset=windows-1252", {"a": "zwölf"}),
        (b"a=zw%C3%B6lf", "application/x-www-form-urlencoded; charset=ISO-8859-1", {"a": "zwölf"}),
        (b'{"a": "zw\xf6lf"}', "application/json; charset=ISO-8859-1", {"a": "zwölf"}),
        (b'{"a": "zw\xc3\xb6lf"}', "application/json; charset=ISO-8859-1", {"a": "zwölf"}),
        ('{"a": "zwölf"}'.encode("utf-16-le"), "application/json; charset=utf-16le", {"a": "zwölf"}),
        ('{"a": "zwölf"}'.encode("utf-16"), "application/json; charset=utf-16", {"a": "zwölf"}),
        (b'{"a": "zw\xf6lf"}', "application/json; charset=klingon", None),
        (b'{"a": "zw\xf6lf"}', "application/json; charset=ascii", None),
        (b"a=zw%F6lf", "application/x-www-form-urlencoded; charset=ascii", None),
    ],
)
def test_what_is_not_utf_8_is_read_in_the_charset_of_its_header(
    body: bytes, content_type: str, fields: dict[str, str] | None
) -> None:
    answer = send(body, content_type)
    assert (answer.status_code, fields is None or json.loads(answer.content) == fields) == (
        200 if fields else 400,
        True,
    )


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/merge-patch+json", 200),
        ("Application/vnd.api+JSON; charset=utf-8", 200),
        ("text/json", 200),
        ("application/x-json", 200),
        ("application/json-patch+json", 415),
        ("application/javascript", 415),
        ("text/plain", 415),
        ("json", 415),
    ],
)
def test_json_has_other_names(content_type: str, status: int) -> None:
    assert send('{"a": "1"}', content_type).status_code == status


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "nonsense"])
def test_content_encoding_is_not_guessed(encoding: str) -> None:
    assert send("{}", HTTP_CONTENT_ENCODING=encoding).status_code == 415


def test_limit_names_both_numbers(settings: Any) -> None:
    settings.BODY_MAX_BYTES = 10
    answer = send('{"a": "12345"}')
    assert answer.status_code == 413
    assert json.loads(answer.content)["detail"] == "The body has 14 bytes; 10 are allowed."


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(-3, 3) | st.none())
def test_read_body(body: bytes, limit: int, off: int | None) -> None:
    announced = None if off is None else max(0, len(body) + off)
    length = None if announced is None else str(announced)
    try:
        read = read_body(io.BytesIO(body), length, limit)
    except TooLarge:
        assert max(len(body), announced or 0) > limit
    except Rejected:
        assert announced is not None
        assert announced > len(body)
    else:
        assert read == body
        assert len(body) <= limit


# Accept


def test_format_in_the_query_means_nothing_of_its_own() -> None:
    assert send('{"a": 1}', QUERY_STRING="format=xml").status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/xml, */*;q=0.1", "nonsense", ";;;", ""])
def test_what_nobody_offers_gets_json(accept: str) -> None:
    answer = send('{"a": 1}', HTTP_ACCEPT=accept)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_a_test_of_the_family_is_a_test_of_all() -> None:
    assert {kind.status for kind in FAMILY} == {
        400,
        401,
        403,
        404,
        406,
        408,
        409,
        410,
        411,
        412,
        413,
        415,
        416,
        422,
        429,
        500,
        503,
    }


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        (NDJSON, NDJSON),
        (f"{NDJSON}, application/json;q=0.5", NDJSON),
        (f"application/json;q=0.5,{NDJSON};Q=0.9", NDJSON),
        (f"{NDJSON};q=0.1, */*;q=0.2", "application/json"),
        (f"{NDJSON};q=0, application/json", "application/json"),
        (f"text/csv, {NDJSON};q=0.2", NDJSON),
        (f"{NDJSON};q=much", NDJSON),
        (f"{NDJSON};q=0", None),
        ("text/csv", None),
        ("nonsense", None),
    ],
)
def test_a_view_of_several_formats_gives_the_one_that_is_preferred(accept: str | None, chosen: str | None) -> None:
    request = Request(RequestFactory().get("/", headers={} if accept is None else {"Accept": accept}))
    renderers: Any = [JSONRenderer(), NdjsonRenderer()]
    try:
        renderer, _ = StrictNegotiation().select_renderer(request, renderers)
    except errors.NotAcceptable:
        renderer = None
    assert (renderer and renderer.media_type) == chosen
