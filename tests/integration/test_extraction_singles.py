"""Single things of one page, on a running hub: its source, a picture, a document."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import requests
from PIL import Image
from pypdf import PdfReader

from extraction.domain.render_job import HTML, PDF, SCREENSHOT
from extraction.domain.single_page_payload import PRODUCT, parse_single_page
from taskhub.errors import Rejected
from tests.chromium import required
from tests.extraction_sites import Reply, Site, html, serving
from tests.hub import Caller, Hub

CHROME = {"url": "http://a/", "type": "chrome"}
MADE = "<p id=a>static</p><script>a.textContent = 'made by a script'</script>"


@pytest.fixture
def chromium() -> None:
    required()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.pages["/"] = html(MADE)
        yield site


@pytest.fixture
def owner(hub: Hub) -> Caller:
    return hub.sign_up()


def balance(caller: Caller) -> int:
    return int(caller.get("/v1/credits").json()["balance"])


def test_the_source_of_a_page(owner: Caller, site: Site) -> None:
    before = balance(owner)
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/"})
    assert (answer.status_code, answer.text) == (200, f"<html><body>{MADE}</body></html>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert balance(owner) == before - 1
    process = owner.get(answer.headers["Location"].removeprefix(owner.url)).json()
    assert (process["status"], process["taskID"], process["cost"]) == ("finished", "", 1)
    link = owner.get("/v1/getlink", {"name": process["results"]}).text
    assert requests.get(link, timeout=60).text == answer.text
    assert "done 200" in requests.get(process["logFile"], timeout=60).text
    assert owner.get(f"/v1/process/{process['id']}/export").status_code == 409
    assert owner.get("/v1/tasks").json() == []


def test_the_source_of_a_rendered_page(owner: Caller, site: Site, chromium: None) -> None:
    before = balance(owner)
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/", "type": "chrome", "actions": [{"waitFor": "#a"}]})
    assert (answer.status_code, balance(owner)) == (200, before - 5)
    assert '<p id="a">made by a script</p>' in answer.text


def test_pictures(owner: Caller, site: Site, chromium: None) -> None:
    site.pages["/"] = html("<div id=box style='width: 200px; height: 3000px; background: red'></div>")
    call = "/v1/convert/url/screenshot"
    for options, size, kind in (
        ({"width": 640, "height": 480}, (640, 480), "PNG"),
        ({"format": "jpg", "quality": 40, "clipSelector": "#box"}, (200, 3000), "JPEG"),
        ({"width": 500, "fullPage": True}, (500, 3016), "PNG"),
        ({"height": 300}, (1280, 300), "PNG"),
        ({"width": 640, "height": 480, "scale": 0.5, "format": "jpeg", "quality": 0}, (320, 240), "JPEG"),
        ({"width": 640, "height": 480, "scale": 2}, (1280, 960), "PNG"),
        ({"clipSelector": "#box", "scale": 0.1, "offsety": 5}, (20, 300), "PNG"),
        ({"width": 300, "height": 200, "offsetx": 100, "offsety": 1000}, (300, 200), "PNG"),
        ({"width": 300, "height": 200, "offsety": 2916, "scale": 2}, (600, 200), "PNG"),
    ):
        answer = owner.post(call, {"url": f"{site.url}/", **options})
        assert answer.status_code == 200, answer.text
        picture = Image.open(BytesIO(answer.content))
        assert (picture.size, picture.format) == (size, kind)
        assert answer.headers["Content-Type"] == f"image/{kind.lower()}"


def test_pictures_and_documents_as_forms_ask_for_them(owner: Caller, site: Site, chromium: None) -> None:
    site.pages["/"] = html("<p style='height: 2000px'>page</p>")
    picture = {"format": "png", "qality": "80", "wholePage": "false", "xoffset": "0", "yoffset": "900", "scale": "1"}
    form = {"remoteURL": f"{site.url}/", "width": "800", "height": "600", **picture}
    answer = owner.call("POST", "/v1/screenshot", files={name: (None, text) for name, text in form.items()})
    assert (answer.status_code, Image.open(BytesIO(answer.content)).size) == (200, (800, 600)), answer.text
    form = {"remoteURL": f"{site.url}/", **{f"margin{side}": "0" for side in ("Top", "Bottom", "Left", "Right")}}
    answer = owner.call("POST", "/v1/convert/url/pdf", data=form)
    assert (answer.status_code, answer.content[:4]) == (200, b"%PDF")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"offsety": 5000}, "nothing is at the offset 0, 5000"), ({"fullPage": True, "scale": 3}, "more than 100000000")],
)
def test_a_picture_that_cannot_be_taken_says_why(
    owner: Caller, site: Site, chromium: None, options: dict[str, Any], words: str
) -> None:
    site.pages["/"] = html("<p style='width: 4000px; height: 3000px'>page</p>")
    answer = owner.post("/v1/convert/url/screenshot", {"url": f"{site.url}/", **options})
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text


PRINTED = {
    "paperSize": "A4",
    "landscape": False,
    "printBackground": False,
    "printHeaderFooter": False,
    "scale": 1,
    "pageRanges": "",
    "marginTop": 0.4,
    "marginLeft": 0.4,
    "marginRight": 0.4,
    "marginBottom": 0.4,
    "waitDelay": 0.5,
    "proxy": "country-any",
    "output": "buffer",
    "actions": [{"waitFor": {"waitForSelector": ":root"}}],
}


def test_margins_and_scale_of_documents(owner: Caller, site: Site, chromium: None) -> None:
    site.pages["/"] = html("<title>A title</title><body style='margin: 0'><p style='margin: 0'>text</p>")

    def place(**options: Any) -> tuple[float, float]:
        """Where the page's text is in a document, in points from its left and its top edge."""
        answer = owner.post("/v1/convert/url/pdf", {"url": f"{site.url}/", **PRINTED, **options})
        assert answer.status_code == 200, answer.text
        [page] = PdfReader(BytesIO(answer.content)).pages
        places = []

        def visit(text: str, matrix: list[float], text_matrix: list[float], *_: Any) -> None:
            if "text" in text:
                x, y = text_matrix[4], text_matrix[5]
                places.append((matrix[0] * x + matrix[4], matrix[3] * y + matrix[5]))

        page.extract_text(visitor_text=visit)
        x, y = places[0]
        return x, float(page.mediabox.height) - y

    (left, top), (wide_left, wide_top) = place(), place(marginLeft=2.4, marginTop=1.4)
    assert wide_left - left == pytest.approx(144, abs=2)
    assert wide_top - top == pytest.approx(72, abs=2)
    doubled, fourfold = place(scale=2)[1] - 28.8, place(scale=4)[1] - 28.8
    assert fourfold == pytest.approx(2 * doubled, rel=0.1)
    answer = owner.post("/v1/convert/url/pdf", {"url": f"{site.url}/", "printHeaderFooter": True})
    assert site.url in PdfReader(BytesIO(answer.content)).pages[0].extract_text()


def test_documents(owner: Caller, site: Site, chromium: None) -> None:
    options = {"paperSize": "A5", "landscape": True, "margin": {"top": 1}, "printBackground": True, "scale": 1.5}
    answer = owner.post("/v1/convert/url/pdf", {"url": f"{site.url}/", **options})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    [page] = PdfReader(BytesIO(answer.content)).pages
    assert "made by a script" in page.extract_text()
    assert page.mediabox.width > page.mediabox.height


def test_the_process_in_place_of_what_it_makes(owner: Caller, site: Site) -> None:
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/", "output": "file"})
    assert (answer.status_code, answer.json()["status"]) == (200, "finished")
    assert answer.json()["results"].endswith(".html")


def test_what_takes_longer_is_polled(owner: Caller, site: Site) -> None:
    site.pages["/"] = Reply("later", 503, {"Retry-After": "1"})
    answer = owner.post("/v1/fetch?wait=0.2", {"url": f"{site.url}/"})
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    site.pages["/"] = html("there")
    run = answer.headers["Link"].partition("/runs/")[2].partition(">")[0]
    assert owner.get(f"/js/walker_queue_wait?task_id={run}&timeout=30").json()["state"] == "SUCCESS"
    assert owner.get(f"/v1/process/{answer.json()['id']}/info").json()["status"] == "finished"


def test_a_page_that_fails_says_why(owner: Caller, site: Site) -> None:
    before = balance(owner)
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/nothing"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "The server answers 404.")
    assert answer.json()["process"]["status"] == "failed"
    assert balance(owner) == before
    forbidden = owner.post("/v1/fetch", {"url": "http://10.0.0.1/"})
    assert forbidden.status_code == 422
    assert "a private address" in forbidden.json()["detail"]


def test_the_same_call_again_is_the_same_process(owner: Caller, site: Site) -> None:
    key, sent = {"Idempotency-Key": uuid4().hex}, {"url": f"{site.url}/"}
    first, second = (owner.post("/v1/fetch", sent, headers=key) for _ in range(2))
    assert (first.text, second.text) == (first.text, first.text)
    assert first.headers["Location"] == second.headers["Location"]
    assert site.hits["/"] == 1
    assert owner.post("/v1/fetch", sent | {"output": "file"}, headers=key).status_code == 422
    assert owner.post("/v1/fetch", {}, headers={"Idempotency-Key": uuid4().hex}).status_code == 400


def test_without_credits_it_waits_for_them(hub: Hub, owner: Caller, site: Site) -> None:
    hub.admin.post("/v1/credits", {"user": owner.email, "amount": -balance(owner)})
    answer = owner.post("/v1/fetch?wait=2", {"url": f"{site.url}/"})
    assert (answer.status_code, answer.json()["id"] != "") == (202, True)
    until = owner.get(f"/v1/process/{answer.json()['id']}/info").json()
    assert (until["status"], until["missingCredits"]) == ("pending", 1)
    hub.admin.post("/v1/credits", {"user": owner.email, "amount": 5})
    run = answer.headers["Link"].partition("/runs/")[2].partition(">")[0]
    assert owner.get(f"/js/walker_queue_wait?task_id={run}&timeout=30").json()["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("product", "sent", "place"),
    [
        (HTML, {}, "/url"),
        (HTML, {"url": "ftp://a/"}, "/url"),
        (HTML, {"url": "http://a/", "type": "lynx"}, "/type"),
        (HTML, {"url": "http://a/", "fields": []}, "/fields"),
        (HTML, {"url": "http://a/", "actions": [{"click": "a"}]}, "/actions"),
        (HTML, CHROME | {"actions": [{"drag": "a"}]}, "/actions/0/drag"),
        (HTML, CHROME | {"actions": [{"click": "a["}]}, "/actions/0/click"),
        (
            HTML,
            {"url": "http://a/", "type": "chrome", "actions": [{"fill": {"value": "x"}}]},
            "/actions/0/fill/selector",
        ),
        (HTML, CHROME | {"actions": [{"scroll": 10**7}]}, "/actions/0/scroll"),
        (HTML, CHROME | {"actions": [{}]}, "/actions/0"),
        (HTML, {"url": "http://a/", "waitDelay": 31}, "/waitDelay"),
        (SCREENSHOT, {"url": "http://a/", "format": "gif"}, "/format"),
        (SCREENSHOT, {"url": "http://a/", "quality": -1}, "/quality"),
        (SCREENSHOT, {"url": "http://a/", "offsety": -1}, "/offsety"),
        (SCREENSHOT, {"url": "http://a/", "xoffset": 1.5}, "/xoffset"),
        (SCREENSHOT, {"url": "http://a/", "scale": 3.5}, "/scale"),
        (SCREENSHOT, {"remoteURL": "ftp://a/"}, "/remoteURL"),
        (SCREENSHOT, {"url": "http://a/", "format": "jpg", "quality": 101}, "/quality"),
        (SCREENSHOT, {"url": "http://a/", "width": 10_001}, "/width"),
        (SCREENSHOT, {"url": "http://a/", "clipSelector": "a["}, "/clipSelector"),
        (SCREENSHOT, {"url": "http://a/", "clipSelector": "a", "fullPage": True}, "/fullPage"),
        (SCREENSHOT, {"url": "http://a/", "type": "base"}, "/type"),
        (PDF, {"url": "http://a/", "paperSize": "B5"}, "/paperSize"),
        (PDF, {"url": "http://a/", "scale": 5.1}, "/scale"),
        (PDF, {"url": "http://a/", "marginTop": 11}, "/marginTop"),
        (PDF, {"url": "http://a/", "marginLeft": "1cm"}, "/marginLeft"),
        (PDF, {"url": "http://a/", "printHeaderFooter": 1}, "/printHeaderFooter"),
        (PDF, {"url": "http://a/", "margin": {"top": -1}}, "/margin/top"),
        (PDF, {"url": "http://a/", "margin": 1}, "/margin"),
        (PDF, {"url": "http://a/", "pageRanges": "one"}, "/pageRanges"),
    ],
)
def test_faults_have_their_place(product: str, sent: dict[str, Any], place: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_single_page({**sent, PRODUCT: product})
    assert [fault["pointer"] for fault in caught.value.errors] == [place]


def test_the_main_content_of_a_page_as_markdown(owner: Caller, site: Site) -> None:
    text = "From now on we are open until <b>eight</b>, as <a href='/more'>many of you</a> have asked us to be. " * 3
    site.pages["/news"] = html(f"<nav><a href='/'>Home</a></nav><main><h1>Longer hours</h1><p>{text}</p></main>")
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/news", "output": "markdown"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert f"until **eight**, as [many of you]({site.url}/more) have asked" in answer.text
    assert "Home" not in answer.text
    answer = owner.post("/v1/fetch", {"url": f"{site.url}/", "output": "markdown"})
    assert answer.text == "static\n"
    answer = owner.post("/v1/parse", {"output": "markdown", "request": {"url": f"{site.url}/"}})
    assert answer.json()["errors"] == [{"pointer": "/output", "detail": "Must be data or file."}]
