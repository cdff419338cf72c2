"""What downloaded files are named, and of which type they are said to be."""

import pytest

from extraction.domain.downloads import UNKNOWN_TYPE, describe_file, read_file_name, served_type


@pytest.mark.parametrize(
    ("media_type", "path", "type", "suffix"),
    [
        ("image/png", "/x", "image/png", ".png"),
        ("image/jpeg", "/x.PHP", "image/jpeg", ".jpg"),
        ("application/pdf", "/x.html", "application/pdf", ".pdf"),
        ("application/octet-stream", "/x.docx?y=.exe", "application/octet-stream", ".docx"),
        ("", "/x.tar.gz", "application/octet-stream", ".gz"),
        ("application/x-unheard-of", "/x.abc", "application/x-unheard-of", ".abc"),
        ("text/html\r\nX-A: b", "/../../x", "application/octet-stream", ""),
        ('a"b/c', "/x.a b", "application/octet-stream", ""),
        ("image/png; a=b", "/x." + "y" * 9, "application/octet-stream", ""),
    ],
)
def test_names_and_types_are_harmless(media_type: str, path: str, type: str, suffix: str) -> None:
    stored_as = f"{'a' * 27}-{'0' * 32}"
    description = describe_file(stored_as, f"http://x{path}", media_type, 1, "")
    assert (description["type"], description["name"]) == (type, stored_as + suffix)
    assert read_file_name(description["name"]) == ("a" * 27, bytes(16))


@pytest.mark.parametrize(
    "name", ["", "a.csv", "a-b.csv", f"a-{'0' * 31}", f"a-{'g' * 32}.png", "a-" + "00 " * 10 + "00"]
)
def test_other_names_are_those_of_no_file(name: str) -> None:
    assert read_file_name(name) is None


@pytest.mark.parametrize(
    ("kind", "is_shown"),
    [
        *((kind, True) for kind in ("image/png", "audio/mpeg", "video/mp4", "font/woff2", "text/plain", "text/csv")),
        *(
            (kind, True)
            for kind in ("application/pdf", "application/zip", "application/json", "application/vnd.ms-excel")
        ),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", True),
        *((kind, False) for kind in ("text/html", "application/xhtml+xml", "text/xml", "application/xml")),
        *((kind, False) for kind in ("image/svg+xml", "image/svg", "application/rss+xml", "application/vnd.x+xml")),
        *((kind, False) for kind in ("text/javascript", "application/javascript", "text/ecmascript", "text/css")),
        *(
            (kind, False)
            for kind in ("multipart/x-mixed-replace", "message/rfc822", "application/wasm", "text/x-server")
        ),
    ],
)
def test_what_browsers_run_is_not_served_as_that(kind: str, is_shown: bool) -> None:
    assert served_type(kind) == (kind if is_shown else UNKNOWN_TYPE)
