"""Results that are delivered to servers of S3, Google Cloud Storage and SFTP; what Dropbox and OneDrive are sent."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest
import requests
import trustme
from django.utils import timezone
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from extraction.delivery import transfer, upload_program
from extraction.domain.destinations import parse_destinations, serialize_destinations
from extraction.domain.kind_names import DELIVERY
from extraction.models import ExtractionTask, Process, ProcessNote
from extraction.run_kinds import ResultDeliveryKind
from extraction.services import tasks
from extraction.services.deliveries import perform_delivery
from taskhub.errors import Failed, Problem, Rejected, Unavailable
from taskhub.outbound import Allow, Policy
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.integration.outbound_servers import Server, answer, serving, tls_for
from tests.integration.test_extraction_s3 import PAYLOAD, fetched, turn
from tests.ports import free_port

LOOPBACK = Policy(allow=Allow.parse(["loopback"]), connect_timeout=2, total_timeout=20)
CONTENT = b"a,b\r\n" * 3_000_000  # more than one part of an upload


def sent(given: dict[str, Any], content: bytes = CONTENT, policy: Policy = LOOPBACK, name: str = "a.csv") -> None:
    [destination] = parse_destinations(given)
    transfer.deliver(destination, name, BytesIO(content), len(content), policy)


# S3


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    yield {
        "type": "s3",
        "bucket": "results",
        "path": "shop",
        "endpoint": endpoint,
        "accessKeyId": "testing",
        "secretAccessKey": "s3cr3t-key",
    }
    server.stop()


@pytest.fixture
def bucket(s3: dict[str, Any]) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "s3cr3t-key"}
    client = boto3.client("s3", endpoint_url=s3["endpoint"], region_name="us-east-1", **keys)
    client.create_bucket(Bucket="results")
    return client


def test_s3(s3: dict[str, Any], bucket: Any) -> None:
    sent(s3)
    assert bucket.get_object(Bucket="results", Key="shop/a.csv")["Body"].read() == CONTENT
    sent(s3, b"", name="empty.csv")
    assert bucket.get_object(Bucket="results", Key="shop/empty.csv")["Body"].read() == b""


def test_a_bucket_that_is_not_there_cannot_be_written_to(s3: dict[str, Any], bucket: Any) -> None:
    with pytest.raises(Failed, match="s3 does not take the file") as caught:
        sent(s3 | {"bucket": "nowhere"}, b"x")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://10.0.0.1:9000", "http://169.254.169.254/"])
def test_the_gate_refuses_what_it_refuses_to_others(s3: dict[str, Any], endpoint: str) -> None:
    with pytest.raises(Problem, match="is not called"):
        sent(s3 | {"endpoint": endpoint}, b"x")


def test_nobody_there_may_be_there_later(s3: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        sent(s3 | {"endpoint": "http://127.0.0.1:9"}, b"x")
    assert not caught.value.permanent


# Google Cloud Storage


def test_google_cloud_storage() -> None:
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="results")
    server.start()
    try:
        given = {"type": "gcs", "bucket": "results", "path": "shop", "accessToken": "t"}
        sent(given | {"endpoint": f"http://127.0.0.1:{port}"}, b"a,b\r\n")
        stored = requests.get(f"http://127.0.0.1:{port}/download/storage/v1/b/results/o/shop%2Fa.csv", timeout=60)
        assert stored.content == b"a,b\r\n"
    finally:
        server.stop()


# SFTP


@contextmanager
def sftp_server(root: Path, key: asyncssh.SSHKey) -> Iterator[dict[str, Any]]:
    """A server whose user `ann` has the password `s3cr3t pass`."""
    own = asyncssh.generate_private_key("ssh-ed25519")

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("ann", "s3cr3t pass")

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, shown: asyncssh.SSHKey) -> bool:
            return shown.public_data == key.public_data

    async def serve() -> Any:
        return await asyncssh.create_server(
            Login,
            "127.0.0.1",
            0,
            server_host_keys=[own],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    try:
        yield {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": server.sockets[0].getsockname()[1],
            "user": "ann",
            "password": "s3cr3t pass",
            "path": "in/daily",
            "hostKey": own.get_fingerprint(),
        }
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_sftp(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with sftp_server(tmp_path, key) as given:
        sent(given)
        assert (tmp_path / "in/daily/a.csv").read_bytes() == CONTENT
        sent(given, b"again")
        assert (tmp_path / "in/daily/a.csv").read_bytes() == b"again"
        assert [path.name for path in (tmp_path / "in/daily").iterdir()] == ["a.csv"]
        text = key.export_private_key().decode()
        sent({**given, "password": None, "privateKey": text}, b"by key", name="b.csv")
        assert (tmp_path / "in/daily/b.csv").read_bytes() == b"by key"
        with pytest.raises(Failed, match="refuses the user or the password"):
            sent(given | {"password": "wrong"})
        with pytest.raises(Failed, match="shows another key, SHA256:"):
            sent(given | {"hostKey": "SHA256:" + "a" * 43})
        with pytest.raises(Failed, match="private key cannot be read"):
            sent({**given, "privateKey": "nonsense"})
        with pytest.raises(Problem, match="is not called"):
            sent(given, policy=Policy())
    with pytest.raises(Unavailable):
        sent(given)


# Dropbox and OneDrive: what is sent


@contextmanager
def pretending(names: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Server]]:
    """Servers that pass for those of these names, reached through what stands in place of the gate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with serving() as serve:
        servers = {name: serve(said, tls=tls_for(authority, name)) for name, said in names.items()}

        def tunnel(server: Server, client: socket.socket) -> None:
            name = server.heads[-1].split()[1].partition(":")[0]
            with socket.create_connection(("127.0.0.1", servers[name].port)) as target:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = server.start(pump, target, client)
                pump(client, target)
                back.join(10)

        proxy = serve(tunnel)

        @contextmanager
        def gate(policy: Policy, tunnel_scheme: str) -> Iterator[Any]:
            yield type("Gate", (), {"address": proxy.url, "refused": []})

        monkeypatch.setattr(transfer, "gate", gate)
        yield servers


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


STAMP = "2026-01-31T12:00:00Z"


def test_what_dropbox_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: dict[str, Any] = {
        ".tag": "file",
        "id": "id:1",
        "name": "a.csv",
        "path_lower": "/shop/a.csv",
        "path_display": "/shop/a.csv",
    }
    told |= {"client_modified": STAMP, "server_modified": STAMP, "rev": "1", "size": 5, "is_downloadable": True}
    body = answer(json.dumps(told).encode(), "Content-Type: application/json")
    names = {"content.dropboxapi.com": body, "api.dropboxapi.com": body}
    with pretending(names, monkeypatch, tmp_path) as servers:
        sent({"type": "dropbox", "path": "shop", "accessToken": "t0k3n"}, b"a,b\r\n")
    upload = servers["content.dropboxapi.com"]
    assert upload.heads[0].startswith("POST /2/files/upload HTTP/1.1")
    assert "authorization: Bearer t0k3n" in upload.heads[0]
    assert '"path":"/shop/a.csv"' in upload.heads[0]
    assert '"mode":"overwrite"' in upload.heads[0]
    assert upload.bodies[0] == b"a,b\r\n"


def test_what_onedrive_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "id": "1",
        "name": "a.csv",
        "size": 5,
        "lastModifiedDateTime": STAMP,
        "createdDateTime": STAMP,
    }
    told |= {"eTag": "e", "cTag": "c", "file": {"mimeType": "text/csv"}, "webUrl": "https://x/"}
    told |= {"parentReference": {"path": "/drive/root:/shop", "driveId": "d", "id": "p", "driveType": "personal"}}
    body = answer(json.dumps(told).encode(), "Content-Type: application/json")
    with pretending({"graph.microsoft.com": body}, monkeypatch, tmp_path) as servers:
        sent({"type": "onedrive", "path": "shop", "accessToken": "t0k3n"}, b"a,b\r\n")
    graph = servers["graph.microsoft.com"]
    [place] = [n for n, head in enumerate(graph.heads) if head.startswith("PUT ")]
    assert "/me/drive/root:/shop/a.csv:/content" in graph.heads[place].partition(" HTTP")[0]
    assert "authorization: Bearer t0k3n" in graph.heads[place]
    assert graph.bodies[place] == b"a,b\r\n"


def test_what_they_take_in_one_piece_has_a_limit() -> None:
    """The program itself refuses it, before anything is sent."""
    asked = {"scheme": "dropbox", "options": {"access_token": "t", "root": "/"}, "path": "a", "type": "text/csv"}
    for size in (upload_program.WHOLE_MAX + 1, 10**12):
        with pytest.raises(ValueError, match="at most 157286400 bytes"):
            upload_program.write(asked | {"size": size}, BytesIO())


def test_a_refusal_of_theirs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusal = answer(b'{"error_summary": "expired_access_token/."}', status="401 Unauthorized")
    names = {"content.dropboxapi.com": refusal, "api.dropboxapi.com": refusal}
    with pretending(names, monkeypatch, tmp_path), pytest.raises(Failed, match="dropbox does not take the file"):
        sent({"type": "dropbox", "accessToken": "t0k3n"}, b"x")


# As runs


@pytest.fixture
def delivered(settings: Any, tmp_path: Path) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]
    results = {**settings.STORAGES["results"], "OPTIONS": {"location": str(tmp_path / "results")}}
    settings.STORAGES = {**settings.STORAGES, "results": results}


def finished(owner: Person, *destinations: dict[str, Any]) -> Process:
    """A process of a task with these destinations, whose result has just been written."""
    process = fetched(owner)
    kept = serialize_destinations(parse_destinations(list(destinations)))
    ExtractionTask.objects.update(delivery=kept)
    Process.objects.update(delivery=kept)
    turn(process)
    process.refresh_from_db()
    assert process.status == "finished"
    return process


def carried() -> int:
    return work(DELIVERY, perform_delivery, node="extraction@test")


def deliveries(owner: Person, process: Process) -> list[dict[str, Any]]:
    answered = owner.get(f"/v1/process/{process.id}/deliveries")
    assert answered.status_code == 200
    return list(answered.json())


@pytest.mark.django_db(transaction=True)
def test_a_finished_result_is_delivered_and_on_record(
    owner: Person, s3: dict[str, Any], bucket: Any, delivered: None
) -> None:
    process = finished(owner, s3, s3 | {"path": "copy"})
    assert [one["state"] for one in deliveries(owner, process)] == ["PENDING"] * 2
    assert carried() == 2
    to = [f"s3://results/{path}/{process.id}.csv" for path in ("shop", "copy")]
    assert [(one["to"], one["state"]) for one in deliveries(owner, process)] == [(name, "SUCCESS") for name in to]
    for name in to:
        key = name.removeprefix("s3://results/")
        assert bucket.get_object(Bucket="results", Key=key)["Body"].read() == b'"a"\r\n"1"\r\n'
    notes = list(ProcessNote.objects.filter(process=process).values_list("text", flat=True))
    assert f"delivered to {to[0]}: 10 bytes" in notes
    rows = Run.objects.filter(kind=DELIVERY)
    assert "s3cr3t" not in str(list(rows.values()))
    assert [row.parent_id for row in rows] == [process.run_id] * 2


@pytest.mark.django_db(transaction=True)
def test_what_fails_is_tried_again_and_can_be_retried_later(
    owner: Person, s3: dict[str, Any], bucket: Any, delivered: None
) -> None:
    process = finished(owner, s3 | {"endpoint": "http://127.0.0.1:9"})
    assert carried() == 1
    [shown] = deliveries(owner, process)
    assert (shown["state"], shown["attempt"]) == ("RETRY", 1)
    assert shown["error"]
    assert shown["next_attempt_at"]
    assert [ResultDeliveryKind().delay_after(attempt) for attempt in range(1, 7)] == [10, 60, 300, 1800, 3600, 3600]
    kept = serialize_destinations(parse_destinations(s3 | {"bucket": "nowhere"}))
    Process.objects.update(delivery=kept)
    Run.objects.filter(pk=shown["run"]).update(not_before=timezone.now())
    runs.sweep()
    assert carried() == 1
    [shown] = deliveries(owner, process)
    assert shown["state"] == "FAILURE"
    Process.objects.update(delivery=serialize_destinations(parse_destinations(s3)))
    assert owner.post(f"/runs/{shown['run']}/retry").status_code == 202
    assert carried() == 1
    assert [one["state"] for one in deliveries(owner, process)] == ["FAILURE", "SUCCESS"]


@pytest.mark.django_db(transaction=True)
def test_a_task_says_where_and_can_test_it(
    owner: Person, stranger: Person, s3: dict[str, Any], bucket: Any, delivered: None
) -> None:
    made = owner.post("/v1/task/create", {"payload": PAYLOAD, "delivery": s3})
    assert made.status_code == 201, made.content
    task = made.json()
    assert set(task) == {"id", "name", "webhook", "payload", "description", "type"}
    shown = owner.get(f"/v1/task/{task['id']}/delivery").json()
    assert shown == [{**s3, "secretAccessKey": "***"}]
    assert stranger.get(f"/v1/task/{task['id']}/delivery").status_code == 404
    assert b"s3cr3t" not in made.content
    [run] = owner.post(f"/v1/task/{task['id']}/delivery/test").json()
    assert carried() == 1
    assert owner.get(f"/runs/{run['run']}").json()["state"] == "SUCCESS"
    assert bucket.get_object(Bucket="results", Key=f"shop/taskhub-test-{task['id']}.txt")["Body"].read()
    assert owner.post(f"/v1/task/{task['id']}/update", {"delivery": None}).status_code == 200
    assert owner.get(f"/v1/task/{task['id']}/delivery").json() == []
    assert owner.post(f"/v1/task/{task['id']}/delivery/test").status_code == 409


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"endpoint": "http://10.0.0.1/"}, "/delivery/endpoint"),
        ({"bucket": ""}, "/delivery/bucket"),
        ({"type": "sftp"}, "/delivery/hostKey"),
    ],
)
def test_a_delivery_is_checked_when_it_is_saved(
    owner: Person, s3: dict[str, Any], changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(Rejected) as caught:
        tasks.create_task(owner=owner.user, body={"payload": PAYLOAD, "delivery": s3 | changes})
    assert place in [fault["pointer"] for fault in caught.value.errors]
