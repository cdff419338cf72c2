"""Where results are delivered: read and checked."""

import json
from typing import Any

import pytest

from extraction.domain.destinations import load_destinations, parse_destinations, serialize_destinations
from taskhub.errors import Rejected

S3 = {"type": "s3", "bucket": "results", "accessKeyId": "a", "secretAccessKey": "s3cr3t"}
SFTP = {
    "type": "sftp",
    "host": "files.example.com",
    "user": "ann",
    "password": "s3cr3t",
    "hostKey": "SHA256:" + "a" * 43,
}
GCS = {"type": "gcs", "bucket": "results", "credential": {"client_email": "a@b", "private_key": "s3cr3t"}}


def test_one_or_several() -> None:
    assert parse_destinations(None) == parse_destinations([]) == parse_destinations({}) == []
    [one] = parse_destinations(S3 | {"type": "Amazon S3", "path": "/shop/daily/"})
    assert one.describe("a.csv") == "s3://results/shop/daily/a.csv"
    assert "s3cr3t" not in repr(one)
    assert [other.kind for other in parse_destinations([S3, SFTP, GCS])] == ["s3", "sftp", "gcs"]
    [text] = parse_destinations(GCS | {"credential": '{"client_email": "a@b", "private_key": "k"}'})
    assert text.options["credential"]["client_email"] == "a@b"
    assert parse_destinations({"type": "dropbox", "accessToken": "x"})[0].describe("a") == "dropbox://a"


@pytest.mark.parametrize(
    ("sent", "place", "words"),
    [
        ("s3", "", "object"),
        ([S3] * 6, "", "at most 5"),
        ({"type": "ftp"}, "/type", "one of s3, gcs"),
        ([S3, {"type": "ftp"}], "/1/type", "one of s3, gcs"),
        (S3 | {"bucket": "no/bucket"}, "/bucket", "name of a bucket"),
        (S3 | {"secretAccessKey": ""}, "/secretAccessKey", "required"),
        (S3 | {"endpoint": "ftp://x"}, "/endpoint", "http or https"),
        (S3 | {"password": "x"}, "/password", "no such name"),
        (S3 | {"path": "a/../b"}, "/path", "without empty parts"),
        (S3 | {"region": 7}, "/region", "Must be a text"),
        (GCS | {"credential": "{"}, "/credential", "service account"),
        (GCS | {"credential": {"client_email": "a"}}, "/credential", "service account"),
        ({"type": "dropbox"}, "/accessToken", "required"),
        ({"type": "onedrive", "refreshToken": "x"}, "/clientId", "required"),
        (SFTP | {"hostKey": "ssh-rsa AAAA"}, "/hostKey", "fingerprint"),
        (SFTP | {"host": "a b"}, "/host", "name or address"),
        (SFTP | {"port": 70000}, "/port", "at most 65535"),
        (SFTP | {"password": None}, "/password", "privateKey"),
    ],
)
def test_a_fault_has_its_place(sent: Any, place: str, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_destinations(sent)
    faults = {fault["pointer"]: fault["detail"] for fault in caught.value.errors}
    assert words in faults[place]
    assert "s3cr3t" not in str(caught.value.errors)


def test_what_is_stored_is_loaded_as_it_was_parsed() -> None:
    dropbox = {"type": "dropbox", "accessToken": "x", "path": "/daily/"}
    onedrive = {"type": "Microsoft OneDrive", "refreshToken": "x", "clientId": "y"}
    destinations = parse_destinations([S3 | {"endpoint": "https://s3.example.com/"}, SFTP, GCS, dropbox, onedrive])
    stored = json.loads(json.dumps(serialize_destinations(destinations)))
    loaded = load_destinations(stored)
    assert loaded == destinations
    assert [destination.describe("a") for destination in loaded] == [
        destination.describe("a") for destination in destinations
    ]
    assert serialize_destinations(loaded) == stored


def test_what_is_stored_is_not_checked_again() -> None:
    [destination] = load_destinations([{**S3, "path": "", "bucket": "a bucket of older rules"}])
    assert destination.describe("a") == "s3://a bucket of older rules/a"
