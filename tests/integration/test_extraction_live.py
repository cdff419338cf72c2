"""Extraction on a running hub: from a payload to a file."""

import gzip
import json

import requests

from tests.extraction_sites import bundled_site, create, ended, export, run
from tests.hub import Hub

BOOK = {
    "commonParent": ".book",
    "fields": [
        {"name": "Title", "selector": "h2 a", "attrs": ["href", "text"]},
        {"name": "Author", "selector": ".author", "filters": [{"name": "trim"}]},
        {"name": "Price", "selector": ".price", "filters": [{"name": "regex", "param": "[0-9.]+"}]},
        {"name": "Tags", "selector": ".tag"},
    ],
    "paginator": {"nextPageSelector": "a.next", "pageNum": 10},
}


def test_pages_after_each_other_become_a_file(hub: Hub) -> None:
    owner = hub.sign_up()
    with bundled_site() as site:
        task = create(owner, {"name": "Books", "request": {"url": f"{site}/"}, **BOOK, "format": "CSV"})
        process = ended(owner, run(owner, task))
    assert (process["status"], process["requestCount"], process["responseCount"]) == ("finished", 3, 3)
    assert (process["cost"], process["missingCredits"], process["taskID"]) == (3, 0, task["id"])
    link = owner.get("/v1/getlink", data=process["results"]).text
    lines = requests.get(link, timeout=60).text.splitlines()
    assert lines[0] == '"Title_href","Title_text","Author","Price","Tags"'
    assert lines[1] == f'"{site}/book/1","Book 1","Bo Åkesson","6.25","tag 1; tag 1"'
    assert len(lines) == 25
    records = json.loads(export(owner, process, "JSON"))
    assert records[23]["Title_text"] == "Book 24"
    assert gzip.decompress(export(owner, process, "JSONL", gzip="true")).count(b"\n") == 24
    log = requests.get(process["logFile"], timeout=60).text
    assert "done 200" in log
    assert log.splitlines()[-1].endswith("finished: 3 pages, 0 failed, 24 records")
