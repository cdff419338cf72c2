"""Answers that are kept as files of a run, and sent on."""

import re
from typing import Any

import pytest
import requests
from django.core.files.storage import default_storage
from django.utils import timezone

from sequences.domain.exchange import KeptFile, SendFailed
from sequences.domain.program import parse
from sequences.domain.validation_errors import InvalidSequence
from sequences.http_client import file_name
from sequences.services.answer_files import AnswerFiles
from sequences.services.sequence_runs import submit_sequence
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.maintenance import prune
from tests.conftest import Person, make_person
from tests.hub import Hub
from tests.integration.outbound_servers import answer, serving
from walkers.models import RunFile

CONTENT = b"%PDF-1.7\r\n\x00\xff{\r\n"
NAMED = ("Content-Type: application/pdf", "Content-Disposition: attachment; filename*=UTF-8''p%C3%A4ge%2F1.pdf")


@pytest.fixture
def run(colleague: Person) -> Run:
    return submit_sequence(arguments={"requests": []}, owner=colleague.user)


@pytest.mark.slow
def test_an_answer_is_kept_and_sent_on_as_it_came(hub: Hub) -> None:
    with serving() as serve:
        source, sink = serve(answer(CONTENT, *NAMED)), serve(answer(b"{}"))
        missing = serve(answer(b'{"why": 1}', status="404 Not Found"))
        get: dict[str, Any] = {"method": "GET", "response": "bytes"}
        post = {"method": "POST", "url": sink.url}
        part = {"file": "{{#.file}}"}
        shown = hub.admin.post(
            "/sequences/runs?wait=60",
            {
                "requests": [
                    {**get, "url": source.url, "save_to": "file"},
                    {**post, "file": "{{#.file}}"},
                    {**post, "file": "{{$.nothing | default(#.file)}}", "headers": {"content-type": "text/x-own"}},
                    {**post, "multipart": {"a": "text", "b": [part, {**part, "filename": "x"}]}},
                    {**get, "url": missing.url, "ignore_error": True, "save_to": "missing"},
                    {**post, "file": "{{#.file}}0", "ignore_error": True, "save_to": "other"},
                ]
            },
        ).json()
    assert shown["state"] == "SUCCESS", shown["error"]
    link = shown["result"]["file"]
    assert re.fullmatch(rf".*/sequences/runs/{shown['id']}/files/[0-9]+", link)
    assert shown["steps"][0]["note"] == f"Kept as a file: {len(CONTENT)} bytes, application/pdf"
    assert shown["result"]["missing"]["body"] == {"why": 1}
    assert "no link" in shown["result"]["other"]["worker_error"]
    assert sink.bodies[:2] == [CONTENT, CONTENT]
    assert ["content-type: application/pdf" in sink.heads[0].lower(), "text/x-own" in sink.heads[1]] == [True, True]
    assert sink.bodies[2].count(CONTENT) == 2
    assert b"1.pdf" in sink.bodies[2]
    assert b'filename="x"' in sink.bodies[2]
    assert sink.bodies[2].count(b"Content-Type: application/pdf") == 2
    path = re.sub("^https?://[^/]+", "", link)
    file = hub.admin.get(path)
    assert (file.content, file.headers["Content-Type"]) == (CONTENT, "application/octet-stream")
    assert file.headers["Content-Disposition"] == 'attachment; filename="1.pdf"'
    assert hub.admin.get(f"{path}0").status_code == 404
    assert hub.anonymous.get(path).status_code == 401


@pytest.mark.parametrize(
    ("disposition", "address", "name"),
    [
        ("attachment; filename=a.csv", "http://h/x", "a.csv"),
        ('attachment; filename="..\\\\..\\\\etc/passwd"', "http://h/x", "passwd"),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt", "http://h/x", "\u20ac.txt"),
        ("attachment; filename*=never''%ff", "http://h/x.pdf", "x.pdf"),
        ("inline", "http://h/folder/a%20b.pdf?token=1", "a b.pdf"),
        ("", "http://h/", "file"),
        ("", "http://h/..", "file"),
        ('attachment; filename="a\tb"', "http://h/", "ab"),
        (f"attachment; filename={'n' * 300}", "http://h/", "n" * 200),
    ],
)
def test_a_file_has_the_name_that_its_server_gives(disposition: str, address: str, name: str) -> None:
    response = requests.Response()
    response.url = address
    response.headers["Content-Disposition"] = disposition
    assert file_name(response) == name


@pytest.mark.django_db
def test_a_run_keeps_so_many_bytes(run: Run, settings: Any) -> None:
    settings.SEQUENCE_FILES_MAX_BYTES = 10
    files = AnswerFiles(run)
    link = files.keep(KeptFile("a", "text/plain", b"123456"))
    with pytest.raises(SendFailed, match="more than 10 bytes"):
        files.keep(KeptFile("b", "", b"12345"))
    again = AnswerFiles(run)  # another worker, which goes on
    with pytest.raises(SendFailed, match="more than 10 bytes"):
        again.keep(KeptFile("b", "", b"12345"))
    again.keep(KeptFile("b", "", b"1234"))
    assert again.read(link) == KeptFile("a", "text/plain", b"123456")


@pytest.mark.django_db
def test_files_are_their_owners_alone(run: Run, colleague: Person, owner: Person, stranger: Person) -> None:
    link = AnswerFiles(run).keep(KeptFile("a", "text/plain", b"1"))
    path = re.sub("^https?://[^/]+", "", link)
    assert colleague.get(path).content == b"1"
    assert make_person("other@example.com", is_staff=True).get(path).status_code == 403
    assert stranger.get(path).status_code == 403
    theirs = AnswerFiles(submit_sequence(arguments={"requests": []}, owner=owner.user))
    for text in (link, f"{link}9", "", "http://h/", "/sequences/runs/x/files/1", f"{link}\n"):
        with pytest.raises(SendFailed):
            theirs.read(text)


@pytest.mark.django_db
def test_files_go_with_their_run(run: Run, settings: Any) -> None:
    AnswerFiles(run).keep(KeptFile("a", "text/plain", b"1"))
    path = RunFile.objects.get(run=run).path
    assert default_storage.exists(path)
    settings.RUN_RETENTION_DAYS = 0
    Run.objects.filter(pk=run.pk).update(state=State.SUCCESS, finished_at=timezone.now(), ready=False)
    prune()
    assert not Run.objects.filter(pk=run.pk).exists()
    assert not default_storage.exists(path)


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ({"file": 1}, "requests[0].file"),
        ({"file": "x", "body": "y"}, "requests[0].file"),
        ({"multipart": {"a": {"file": "x", "content": "y"}}}, "requests[0].multipart.a"),
        ({"multipart": {"a": [{"file": 1}]}}, "requests[0].multipart.a"),
        ({"multipart": {"a": {"filename": "x"}}}, "requests[0].multipart.a"),
        ({"response": "bytes", "sensitive": True}, "requests[0].response"),
    ],
)
def test_faults_of_files_have_their_places(step: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSequence) as caught:
        parse({"requests": [{"method": "POST", "url": "http://h/", **step}]})
    assert [error["path"] for error in caught.value.errors] == [path]
