"""What a page is read as follows from its payload, or from what its server says of it."""

import json
from typing import Any

import pytest

from extraction.models import Process
from extraction.services.process_log import lines_of
from tests.conftest import Person
from tests.extraction_runs import extracted, records
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

DATA = json.dumps({"items": [{"n": "A", "p": 1}, {"n": "B"}]})
FEED = "<rss><item><n>A</n></item><item><n>B</n></item></rss>"
JSON_PAYLOAD: dict[str, Any] = {"commonParent": "items", "fields": [{"name": "n", "selector": "n"}]}
XML_PAYLOAD: dict[str, Any] = {"commonParent": "item", "fields": [{"name": "n", "selector": "n"}]}
NO_PAGE = "It is no page, but {}."


@pytest.mark.parametrize(
    ("body", "media_type", "payload", "error"),
    [
        (DATA, "application/json", JSON_PAYLOAD, ""),
        (DATA, "application/vnd.api+json; charset=utf-8", JSON_PAYLOAD, ""),
        (DATA, "text/html", {**JSON_PAYLOAD, "source": "json"}, ""),
        (DATA, "application/javascript", {**JSON_PAYLOAD, "source": "json"}, ""),
        (FEED, "application/rss+xml", XML_PAYLOAD, ""),
        (FEED, "application/download", {**XML_PAYLOAD, "source": "xml"}, ""),
        (DATA, "application/json", {**JSON_PAYLOAD, "source": "html"}, NO_PAGE.format("application/json")),
        (DATA, "application/javascript", JSON_PAYLOAD, NO_PAGE.format("application/javascript")),
        ("{", "application/json", JSON_PAYLOAD, "It is no JSON."),
        ("\x89PNG\0\1", "image/png", {**JSON_PAYLOAD, "source": "json"}, NO_PAGE.format("image/png")),
    ],
)
def test_as_what_a_page_is_read(
    owner: Person, site: Site, body: str, media_type: str, payload: dict[str, Any], error: str
) -> None:
    site.pages["/"] = Reply(body, headers={"Content-Type": media_type})
    process = extracted(owner, site, **payload)
    if error:
        assert process.status == "failed"
        assert error in "".join(map(bytes.decode, lines_of(process)))
    else:
        assert records(process) == [{"n": "A"}, {"n": "B"}]


def test_servers_are_asked_for_what_is_read(owner: Person, site: Site) -> None:
    site.pages["/"] = Reply(DATA, headers={"Content-Type": "application/json"})
    extracted(owner, site, **JSON_PAYLOAD, source="json")
    assert site.seen["/"]["Accept"].startswith("application/json")
    extracted(owner, site, **JSON_PAYLOAD)
    assert site.seen["/"]["Accept"].startswith("text/html")
    extracted(owner, site, **JSON_PAYLOAD, source="json", request={"url": f"{site.url}/", "headers": {"accept": "a/b"}})
    assert {name.lower(): text for name, text in site.seen["/"].items()}["accept"] == "a/b"


def left_out(process: Process) -> list[str]:
    return [text for code, text in process.notes.values_list("code", "text") if code == "records-left-out"]


def test_records_without_a_required_value_are_counted(owner: Person, site: Site) -> None:
    fields = [{"name": "n", "selector": "n"}, {"name": "p", "selector": "p", "required": True}]
    site.pages["/"] = Reply(DATA, headers={"Content-Type": "application/json"})
    process = extracted(owner, site, commonParent="items", fields=fields)
    assert records(process) == [{"n": "A", "p": 1}]
    assert process.records == 1
    assert left_out(process) == ["1 records are left out: they lack a required value."]
    assert owner.get(f"/v1/process/{process.id}/warnings").json()[-1]["code"] == "records-left-out"


def test_lists_end_though_their_records_tell_the_time(owner: Person, site: Site) -> None:
    """Times and addresses of records do not count as something new."""

    def answer(path: str, before: int) -> Reply:
        onward = int(path[-1:]) + 1 if path[-1:].isdigit() else 2
        return html(f"<p>a<p>b<p>c<p>d<p>e</p><a href='/?page={onward}'>next</a>")

    site.other = answer
    fields = [{"name": "n", "selector": "p"}]
    process = extracted(owner, site, fields=fields, paginator="a", meta=True, maxPages=9)
    assert (process.pages, len(records(process))) == (2, 5)
