"""What downloaded files are named, and of which type they are said to be."""

import pytest

from extraction.domain.downloads import describe_file, read_file_name


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
