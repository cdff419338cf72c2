"""Files behind links of records: stored once a process, shown as links, paid as pages, and gone with their process."""

import csv
import errno
import gzip
import hashlib
import io
from contextlib import closing
from typing import Any

import pytest
from django.db import connection

from extraction import worker_loop
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import downloaded_files, process_lifecycle, retention, slices
from extraction.services.page_table import claim_pages
from extraction.services.result_export import ResultExport
from extraction.services.result_files import result_storage
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_runs import begun, carried, extracted, page, records
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

PICTURE = b"\x89PNG one pixel"
FILE = [{"name": "f", "selector": "a", "download": True}]


def picture(data: bytes = PICTURE, **headers: str) -> Reply:
    return Reply(data, headers={"Content-Type": "image/png", **headers})


@pytest.fixture
def shop(site: Site) -> Site:
    """Two items, one of which has two pictures, and the third item none."""
    site.pages["/"] = html(
        '<li><b>1</b><img src="/a.png"></li><li><b>2</b><img src="/a.png"><img src="/b.png"></li><li><b>3</b></li>'
    )
    site.pages["/a.png"], site.pages["/b.png"] = picture(), picture(b"other")
    return site


ITEMS: dict[str, Any] = {
    "commonParent": "li",
    "fields": [{"name": "n", "selector": "b"}, {"name": "pic", "selector": "img", "download": True}],
}


def stored_files() -> set[str]:
    """The names of all files in the storage of results, but for results."""
    return {name for name in result_storage().listdir("")[1] if "-" in name}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_each_file_is_fetched_once_and_shown_where_it_belongs(owner: Person, stranger: Person, shop: Site) -> None:
    process = extracted(owner, shop, **ITEMS)
    assert (process.status, process.cost, process.pages) == ("finished", 3, 3)
    assert (shop.hits["/a.png"], shop.hits["/b.png"]) == (1, 1)
    first, second, third = records(process)
    value = first["pic"]
    assert [value[name] for name in ("sha256", "type", "bytes", "url")] == [
        *(sha256(PICTURE), "image/png", len(PICTURE)),
        f"{shop.url}/a.png",
    ]
    assert second["pic"][0] == value
    assert second["pic"][1]["sha256"] == sha256(b"other")
    assert third["pic"] is None
    assert value["link"].endswith(f"/v1/process/{process.id}/files/{value['name']}")
    assert value["name"].endswith(".png")

    path = f"/v1/process/{process.id}/files/{value['name']}"
    answer = owner.get(path)
    assert (b"".join(answer.streaming_content), answer["Content-Type"]) == (PICTURE, "image/png")
    assert answer["Content-Disposition"] == f'attachment; filename="{value["name"]}"'
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    part = owner.call("GET", path, headers={"Range": "bytes=1-3"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, b"PNG")
    assert [stranger.get(path).status_code, owner.get(f"{path}x").status_code] == [404, 404]


def test_what_browsers_run_is_served_as_bytes(owner: Person, site: Site) -> None:
    types = ["text/html", "image/svg+xml", "text/javascript", "application/xhtml+xml", "text/css", "image/png"]
    site.pages["/"] = html("".join(f"<li><a href='/{n}'></a></li>" for n in range(len(types))))
    for number, kind in enumerate(types):
        site.pages[f"/{number}"] = Reply("<script>1</script>", headers={"Content-Type": f"{kind}; charset=utf-8"})
    found = [record["f"] for record in records(extracted(owner, site, commonParent="li", fields=FILE))]
    assert [file["type"] for file in found] == types
    answers = [owner.get(f"/v1{file['link'].partition('/v1')[2]}") for file in found]
    assert [answer["Content-Type"] for answer in answers] == ["application/octet-stream"] * 5 + ["image/png"]
    for answer in answers:
        answer.close()
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Disposition"].startswith("attachment;")


def test_a_packed_file_counts_as_large_as_it_is_stored(owner: Person, site: Site) -> None:
    site.pages["/"] = html('<a href="/x">x</a>')
    site.pages["/x"] = picture(gzip.compress(bytes(100_000)), **{"Content-Encoding": "gzip"})
    process = extracted(owner, site, fields=FILE)
    [record] = records(process)
    assert (record["f"]["bytes"], page(process, "/x").bytes) == (100_000, 100_000)
    assert process.bytes > 100_000


def test_a_link_of_its_name_needs_no_authentication(
    owner: Person, stranger: Person, anonymous: Person, shop: Site
) -> None:
    process = extracted(owner, shop, **ITEMS)
    name = records(process)[0]["pic"]["name"]
    link = owner.get("/v1/getlink", {"name": name}).content.decode()
    answer = anonymous.get(link.partition("/v1/")[2].join(["/v1/", ""]))
    assert (b"".join(answer.streaming_content), answer["Content-Type"]) == (PICTURE, "image/png")
    assert stranger.get("/v1/getlink", {"name": name}).status_code == 404
    for wrong in (f"{name}x", name.replace(process.id, "0" * 27), f"{process.id}-{'0' * 32}.png", f"{process.id}-"):
        assert owner.get("/v1/getlink", {"name": wrong}).status_code == 404


@pytest.mark.parametrize(
    ("item", "field", "path"),
    [
        ('<a href="/x">x</a>', {"selector": "a"}, "/x"),
        ('<a href="/x#top">x</a>', {"selector": "a", "type": "link"}, "/x"),
        ('<img src="x">', {"selector": "img", "type": "image"}, "/x"),
        ("<i>/x</i>", {"selector": "i", "type": "url"}, "/x"),
        ('<img data-src="/x">', {"selector": ".//img/@data-src"}, "/x"),
        ('<a href="/x"><b>1</b></a>', {"selector": "."}, "/x"),
        ('<a href="/x">x</a><a href="/y">y</a>', {"selector": "a", "first": True}, "/x"),
        ('<a href="mailto:a@b">x</a>', {"selector": "a"}, None),
        ('<img src="data:image/png;base64,AAAA">', {"selector": "img"}, None),
        ("<a>x</a>", {"selector": "a[href]"}, None),
        ('<a href="http://[">x</a>', {"selector": "a"}, None),
    ],
)
def test_what_has_an_address(owner: Person, site: Site, item: str, field: dict[str, Any], path: str | None) -> None:
    site.pages["/"] = html(f"<p>{item}<u>1</u></p>")
    site.pages["/x"] = Reply("file")
    fields = [{"name": "n", "selector": "u"}, {"name": "f", "download": True, **field}]
    process = extracted(owner, site, commonParent="p", fields=fields)
    [record] = records(process)
    assert (record["f"] and record["f"]["url"]) == (path and f"{site.url}{path}")
    assert process.cost == (2 if path else 1)
    assert not site.hits["/y"]


def test_files_of_details_and_of_paths(owner: Person, shop: Site) -> None:
    shop.pages["/list"] = html('<p><a href="/">all</a></p>')
    link = [{"name": "item", "selector": "p a", "details": ITEMS}]
    request = {"url": f"{shop.url}/list"}
    nested = extracted(owner, shop, request=request, fields=link)
    on_path = extracted(owner, shop, request=request, fields=link, path=True, format="CSV")
    shas = [sha256(PICTURE), [sha256(PICTURE), sha256(b"other")], None]
    for found in (records(nested)[0]["item_details"], records(on_path)):
        pictures = [record["pic"] for record in found]
        assert [
            one and ([p["sha256"] for p in one] if isinstance(one, list) else one["sha256"]) for one in pictures
        ] == shas
    rows = list(csv.reader(io.StringIO(b"".join(ResultExport(nested).pieces("csv", gzip=False)).decode())))
    assert rows[0] == ["item", "item_details_n", "item_details_pic", "item_details_pic_sha256"]


def test_tables_have_two_columns(owner: Person, shop: Site) -> None:
    process = extracted(owner, shop, **ITEMS)
    names = ["n", "pic", "pic_sha256"]
    rows = list(csv.DictReader(io.StringIO(b"".join(ResultExport(process).pieces("csv", gzip=False)).decode())))
    assert [list(row) for row in rows] == [names] * 3
    links = [record["pic"] for record in records(process)]
    assert (rows[0]["pic"], rows[0]["pic_sha256"]) == (links[0]["link"], sha256(PICTURE))
    assert rows[1]["pic"] == "; ".join(one["link"] for one in links[1])
    assert (rows[2]["pic"], rows[2]["pic_sha256"]) == ("", "")
    for format in ("xlsx", "xml", "jsonl"):
        assert b"".join(ResultExport(process).pieces(format, gzip=False))


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("reply", "settings_of_it", "error"),
    [
        (Reply("gone", 404), {}, "The server answers 404."),
        (Reply("busy", 503), {}, "The server answers 503."),
        (Reply("x", 302, {"Location": "http://10.0.0.1/"}), {}, "private address"),
        (Reply("", 302, {"Location": "/admin/file"}), {}, "robots.txt"),
        (picture(b"x" * 2000), {"EXTRACTION_FILE_MAX_BYTES": 1999}, "more than 1999 bytes"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), {}, "ended its answer early"),
        (picture(), {"EXTRACTION_FILES_MAX_BYTES": 1}, "no more files"),
        (picture(), "full", "The file cannot be stored: No space left on device"),
    ],
    ids=["missing", "busy", "private", "robots", "large", "cut", "all", "full"],
)
def test_a_file_that_does_not_come_is_null_and_told(
    owner: Person,
    site: Site,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    settings_of_it: Any,
    error: str,
) -> None:
    site.pages["/robots.txt"] = Reply("User-agent: *\nDisallow: /admin\n")
    site.pages["/"] = html('<a href="/x">x</a>')
    site.pages["/x"] = reply
    with monkeypatch.context() as patched:
        if settings_of_it == "full":
            patched.setattr(downloaded_files, "store_result", full)
        for name, value in dict(settings_of_it if settings_of_it != "full" else {}).items():
            setattr(settings, name, value)
        process = extracted(owner, site, fields=FILE)
    assert (process.status, process.cost, process.failed) == ("finished", 1, 1)
    assert records(process) == [{"f": None}]
    assert error in page(process, "/x").error
    warnings = owner.get(f"/v1/process/{process.id}/warnings").json()
    assert [warning["code"] for warning in warnings] == ["files-missing"]
    assert not stored_files()

    settings.EXTRACTION_FILES_MAX_BYTES = settings.EXTRACTION_FILE_MAX_BYTES = 10**6
    site.pages["/x"] = picture()
    process = carried(process_lifecycle.retry_process(process=process))
    assert [record["f"]["sha256"] for record in records(process)] == [sha256(PICTURE)]
    assert not owner.get(f"/v1/process/{process.id}/warnings").json()


def test_files_do_not_hide_that_pages_failed(owner: Person, site: Site) -> None:
    """Nor do files that failed make a process fail."""
    site.pages["/"] = html("".join(f'<li><a href="/{n}"></a><img src="/{n}.png"></li>' for n in range(3)))
    for n in range(3):
        site.pages[f"/{n}.png"] = picture()
    details = {"fields": [{"name": "t", "selector": "h1"}]}
    fields = [{"name": "d", "selector": "li a", "attrs": ["href"], "details": details}, {**FILE[0], "selector": "img"}]
    process = extracted(owner, site, fields=fields)
    assert (process.status, process.pages, process.failed) == ("failed", 7, 3)


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_is_lost_costs_nothing(owner: Person, shop: Site, stored: bool) -> None:
    """Before or after it has stored the file, which the next one stores under the same name."""
    process = begun(owner, shop, **ITEMS)
    slice, _ = slices.claim_slice(worker="first@test") or (None, None)
    assert slice
    process_lifecycle.end_slice(slice=slice)
    process.refresh_from_db()
    process = carried(process)
    assert process.cost == 3
    row = page(process, "/a.png")
    ExtractionPage.objects.filter(pk=row.pk).update(state="ready", records=None, cost=0)
    Process.objects.filter(pk=process.pk).update(
        status="running", open=1, cost=2, responses=2, results="", unwritten=False
    )
    lost, _ = slices.claim_slice(worker="lost@test") or (None, None)
    assert lost
    assert [claimed.url for claimed in claim_pages(slice=lost, limit=10)] == [f"{shop.url}/a.png"]
    if not stored:
        downloaded_files.delete_files(process, [bytes(row.key)])
    Slice.objects.filter(pk=lost.pk).update(lease_until="2020-01-01T00:00:00Z")
    process_lifecycle.sweep()
    process = carried(process)
    assert (process.cost, shop.hits["/a.png"], len(stored_files())) == (3, 2, 2)
    assert records(process)[0]["pic"]["sha256"] == sha256(PICTURE)


def test_files_are_gone_with_their_process(owner: Person, shop: Site) -> None:
    process = extracted(owner, shop, **ITEMS)
    other = extracted(owner, shop, **ITEMS)
    path = f"/v1/process/{process.id}/files/{records(process)[0]['pic']['name']}"
    assert len(stored_files()) == 4
    while retention.remove_batch(process):
        pass
    assert owner.get(path).status_code == 404
    assert {name.partition("-")[0] for name in stored_files()} == {other.id}


def test_a_file_that_is_stored_while_its_process_is_removed_goes_too(owner: Person, shop: Site) -> None:
    process = begun(owner, shop, **ITEMS)
    first = shop.pages["/a.png"]
    assert isinstance(first, Reply)

    def answer(path: str, before: int) -> Reply:
        with closing(connection):  # of the site's thread
            Process.objects.filter(pk=process.pk).update(removed_at="2026-01-01T00:00:00Z")
        return first

    shop.pages["/a.png"] = shop.pages["/b.png"] = answer
    while not shop.hits["/a.png"]:
        worker_loop.work_on_slices(node="extraction@test")
    worker_loop.work_on_slices(node="extraction@test")  # until those that are under way have ended
    assert not stored_files()


def test_records_are_compared_by_what_files_hold(owner: Person, shop: Site) -> None:
    sent = {"request": {"url": f"{shop.url}/"}, **ITEMS, "unique": "n", "changes": True}
    task = owner.post("/v1/task/create", sent).json()["id"]
    found: list[Any] = []
    for data in (PICTURE, PICTURE, b"another"):
        shop.pages["/a.png"] = picture(data)
        process = Process.objects.get(id=owner.post(f"/v1/task/{task}/run").json()["id"])
        work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
        found.append([record["_change"] for record in records(carried(process))])
    assert found == [["new"] * 3, ["same"] * 3, ["changed", "changed", "same"]]


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("/fields/0/download", {"download": "often"}),
        ("/fields/0/attrs", {"attrs": ["href"]}),
        ("/fields/0/filters", {"filters": ["trim"]}),
        ("/fields/0/default", {"default": ""}),
        ("/fields/0/join", {"join": ","}),
        ("/fields/0/type", {"type": "number"}),
        ("/fields/0/type", {"type": "markdown"}),
        ("/fields/0/details", {"details": {"fields": [{"name": "t", "selector": "b"}]}}),
        ("/fields/1/name", {"name": "f", "also": {"name": "f_sha256", "selector": "b"}}),
    ],
)
def test_faults_have_their_places(owner: Person, place: str, field: dict[str, Any]) -> None:
    others = [field.pop("also")] if "also" in field else []
    sent = {"request": {"url": "http://x/"}, "fields": [{**FILE[0], **field}, *others]}
    answer = owner.post("/v1/task/create", sent)
    assert answer.status_code == 400
    assert place in [error["pointer"] for error in answer.json()["errors"]]
