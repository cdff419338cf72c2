"""Results on a storage that speaks S3: a real server, and links of its own."""

import io
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import orjson
import pytest
import requests
from moto.server import ThreadedMotoServer

from extraction.domain.downloads import DOWNLOAD_RULE, describe_file, stored_name
from extraction.models import ExtractionPage, Process, ProcessNote
from extraction.services import payloads, process_lifecycle, processes, retention, signed_links, slices, tasks
from extraction.services.downloaded_files import store_file
from extraction.worker_loop import write_results
from tests.conftest import Person

pytestmark = pytest.mark.django_db

BUCKET = "results"
PAYLOAD = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}], "format": "CSV"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    requests.post(f"{url}/moto-api/reset", timeout=60).raise_for_status()  # its buckets outlive it in this process
    yield url
    server.stop()


@pytest.fixture
def bucket(server: str, settings: Any) -> Any:
    options = {
        "bucket_name": BUCKET,
        "endpoint_url": server,
        "region_name": "us-east-1",
        "location": "taskhub",
        "signature_version": "s3v4",
        "addressing_style": "path",
    }
    settings.STORAGES = {
        **settings.STORAGES,
        "results": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options},
    }
    client = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    return client


def fetched(owner: Person) -> Process:
    """Its pages have ended; its result is to be written."""
    process = processes.run_task(task=tasks.create_task(owner=owner.user, body=PAYLOAD))
    process_lifecycle.add_first_pages(process=process, payload=payloads.check_payload(process.payload, owner.user))
    ExtractionPage.objects.update(state="done", records=zlib.compress(b'[{"a": "1"}]'))
    Process.objects.update(open=0, unwritten=True, records=1)
    return process


def turn(process: Process) -> bool:
    slice, row = slices.claim_slice(worker="x@test") or (None, None)
    assert slice
    assert row
    return write_results(slice=slice, process=row)


def test_a_result_is_stored_linked_and_removed(owner: Person, bucket: Any) -> None:
    process = fetched(owner)
    assert turn(process)
    process.refresh_from_db()
    stored = bucket.get_object(Bucket=BUCKET, Key=f"taskhub/{process.id}.csv")["Body"].read()
    assert stored == b'"a"\r\n"1"\r\n'
    link = signed_links.link_to(process=process)
    assert "X-Amz-Signature" in link
    assert "X-Amz-Expires=3600" in link
    part = requests.get(link, headers={"Range": "bytes=0-0"}, timeout=60)
    assert (part.status_code, part.content) == (206, b'"')
    assert owner.get(f"/v1/getlink?name={process.results}").content.decode().startswith(link.partition("?")[0])
    while retention.remove_batch(process):
        pass
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)


def test_a_storage_that_is_away_keeps_the_process_waiting(owner: Person, bucket: Any) -> None:
    process = fetched(owner)
    bucket.delete_bucket(Bucket=BUCKET)
    assert not turn(process)
    process.refresh_from_db()
    assert (process.status, process.unwritten, process.results) == ("running", True, "")
    assert ProcessNote.objects.filter(process=process, text__contains="could not be written").exists()
    bucket.create_bucket(Bucket=BUCKET)
    Process.objects.update(rest_until=None)
    assert turn(process)


def test_a_downloaded_file_is_stored_linked_and_removed(owner: Person, bucket: Any) -> None:
    process, key = fetched(owner), bytes(16)
    name = stored_name(process.id, key)
    size, sha256 = store_file(name, io.BytesIO(b"picture"))
    description = describe_file(name, "http://127.0.0.1:9/a.png", "image/png", size, sha256)
    records = zlib.compress(orjson.dumps(description))
    page = {"key": key, "chain": key, "rule": DOWNLOAD_RULE, "state": "done", "records": records}
    ExtractionPage.objects.create(process=process, url="http://127.0.0.1:9/a.png", **page)
    answer = owner.get(f"/v1/process/{process.id}/files/{description['name']}")
    assert b"".join(answer.streaming_content) == b"picture"
    link = owner.get("/v1/getlink", {"name": description["name"]}).content.decode()
    assert "X-Amz-Signature" in link
    assert requests.get(link, timeout=60).content == b"picture"
    while retention.remove_batch(process):
        pass
    assert not bucket.list_objects_v2(Bucket=BUCKET).get("Contents")
