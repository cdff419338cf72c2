"""Actions, frames, shadow roots and lists in boxes: what rendered pages do, and what hostile ones cannot."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from extraction.domain.browser_actions import ACTIONS
from extraction.domain.render_job import BrowserAction, Pagination
from extraction.fetch import page_actions, page_view
from taskhub.outbound import Allow, configured_policy
from tests.conftest import Person
from tests.extraction_runs import extracted, page, records
from tests.extraction_sites import Reply, Site, html, serving
from tests.integration.socks_servers import CLOSING, serving_socks
from tests.rendered_pages import refusal, shown

pytestmark = [pytest.mark.xdist_group("chrome"), pytest.mark.usefixtures("rendering_here")]

TITLE = [{"name": "title", "selector": "h1"}]
FORM = """<select id=s multiple><option value=a>Alpha<option value=b>Beta<option value=c>Gamma</select>
<input id=i><b id=h>hover</b><p id=o></p><script>
const tell = text => { o.textContent += text + ";" };
s.onchange = () => tell([...s.selectedOptions].map(one => one.value).join("+"));
i.onkeydown = event => tell((event.ctrlKey ? "ctrl-" : "") + event.key);
h.onmouseenter = () => tell("over");
document.onkeydown = event => event.target === document.body && tell("page-" + event.key);
</script>"""


def test_each_action(site: Site) -> None:
    site.pages["/"] = html(FORM)
    actions = (
        BrowserAction("press", value="Escape"),
        BrowserAction("select", "#s", choices=("b",)),
        BrowserAction("select", "#s", choices=("Gamma", "a")),
        BrowserAction("press", "#i", "Enter"),
        BrowserAction("press", "#i", "Control+ArrowLeft"),
        BrowserAction("hover", "#h"),
        BrowserAction("pause", seconds=0.01),
        BrowserAction("script", value="tell(await Promise.resolve(1 + 1)); return 3"),
        BrowserAction("script", value="tell('a') // and no more"),
    )
    told = "page-Escape;b;a+c;Enter;ctrl-Control;ctrl-ArrowLeft;over;2;a;"
    assert f'<p id="o">{told}</p>' in shown(site, actions=actions).texts[0]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (BrowserAction("script", value="throw new Error('not now')"), "The script of an action fails: Error: not now"),
        (BrowserAction("script", value="let ("), "The script of an action fails: SyntaxError"),
        (BrowserAction("click", "#i", frame="#i"), "#i is no frame"),
        (BrowserAction("fill", "#h", "x"), "The action fill #h fails: Element is not an <input>"),
        (BrowserAction("select", "#i", choices=("a",)), "The action select #i fails: Element is not a <select>"),
    ],
    ids=["error", "no script", "another element", "no field", "no list of options"],
)
def test_an_action_that_fails_says_why(site: Site, action: BrowserAction, words: str) -> None:
    site.pages["/"] = html(FORM)
    assert words in refusal(site, "/", actions=(action,))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (BrowserAction("select", "#s", choices=("none",)), "no #s to select none in"),
        (BrowserAction("press", "#none", "Enter"), "no #none to press Enter in"),
        (BrowserAction("hover", "#none"), "no #none to hover"),
        (BrowserAction("click", "#i", frame="#none"), "no frame #none"),
    ],
    ids=["no option", "press", "hover", "no frame"],
)
def test_an_action_on_what_does_not_come_says_so(
    site: Site, action: BrowserAction, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (page_actions, page_view):
        monkeypatch.setattr(module, "ACTION_SECONDS", 0.5)
    site.pages["/"] = html(FORM)
    assert words in refusal(site, "/", actions=(action,))


LATE = "setTimeout(() => fetch('/late').then(r => r.text()).then(t => { o.textContent = t }), 50)"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f'<button onclick="{LATE}">go</button><p id=o></p>', '<p id="o">late</p>'),
        ('<form action="/late" method="post"><button>go</button></form>', "late"),
        ("<button onclick=\"location = '/moved'\">go</button>", "late"),
    ],
    ids=["data", "form", "redirect"],
)
def test_what_an_action_asks_for_is_waited_for(site: Site, body: str, found: str) -> None:
    def late(path: str, before: int) -> Reply:
        time.sleep(0.8)  # longer than a page is quiet
        return html("late") if site.seen[path].get("Sec-Fetch-Dest") == "document" else Reply("late")

    site.pages["/late"], site.pages["/moved"] = late, Reply("", 302, {"Location": "/late"})
    site.pages["/"] = html(body)
    assert found in shown(site, actions=(BrowserAction("click", "button"),)).texts[0]


def test_a_page_that_an_action_leads_to_has_to_be_one(site: Site) -> None:
    site.pages["/"] = html('<a href="/gone">go</a>')
    assert refusal(site, "/", actions=(BrowserAction("click", "a"),)) == "The server answers 404."


# Frames


@pytest.mark.parametrize("far", [False, True], ids=["same site", "another"])
def test_a_frame_is_read_and_acted_in(site: Site, far: bool) -> None:
    with serving() as other:
        inner = other if far else site
        inner.pages["/in"] = html(
            "<ul id=l><li>0</li></ul><button onclick=\"l.insertAdjacentHTML('beforeend', '<li>1</li>')\">more</button>"
        )
        site.pages["/"] = html(f"<h1>outer</h1><iframe id=f src='{inner.url}/in'></iframe>")
        found = shown(site, frame="#f", actions=(BrowserAction("click", "button", frame="#f"),))
        assert found.texts[0].count("<li>") == 2
        assert "outer" not in found.texts[0]
        assert found.url == f"{inner.url}/in"
        grown = shown(site, frame="#f", pagination=Pagination("more", "button", pages=4)).texts[0]
        assert grown.count("<li>") == 4


def test_a_frame_in_a_frame_is_read_and_acted_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/"] = html("<iframe id=outer src='/outer'></iframe>")
    site.pages["/outer"] = html("<h1>outer</h1><iframe id=inner src='/inner'></iframe>")
    site.pages["/inner"] = html("<button onclick=\"this.outerHTML = '<p>inside</p>'\">more</button>")
    path = "#outer >> #inner"
    found = shown(site, frame=path, actions=(BrowserAction("click", "button", frame=path),))
    assert "<p>inside</p>" in found.texts[0]
    assert (found.url, "outer" in found.texts[0]) == (f"{site.url}/inner", False)
    monkeypatch.setattr(page_view, "ACTION_SECONDS", 2.0)
    assert refusal(site, "/", frame="#outer >> #none").startswith("The page shows no frame #none")


def test_a_frame_without_an_address_has_that_of_its_page(site: Site) -> None:
    site.pages["/"] = html('<iframe srcdoc="<p>inside</p>"></iframe>')
    found = shown(site, frame="iframe")
    assert "<p>inside</p>" in found.texts[0]
    assert found.url == f"{site.url}/"


def test_a_page_without_the_frame(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_view, "ACTION_SECONDS", 0.5)
    site.pages["/"] = html("<h1>outer</h1>")
    assert refusal(site, "/", frame="#f") == "The page shows no frame #f, or not soon enough."
    assert "outer" in shown(site, frame="#f", needs_frame=False).texts[0]


@pytest.mark.django_db(transaction=True)
def test_a_list_in_a_frame_and_its_details(owner: Person, site: Site) -> None:
    site.pages["/"] = html("<iframe src='/list'></iframe>")
    site.pages["/list"] = html("<li><a href='item'>1</a></li><a class=next href='/list2'>next</a>")
    site.pages["/list2"] = html("<li><a href='item2'>2</a></li>")
    site.pages["/item"] = html("<iframe src='/text'></iframe>")
    site.pages["/item2"] = html("<iframe src='/text'></iframe>")
    site.pages["/text"] = html("<h2>text</h2>")
    details = {"request": {"frame": "iframe"}, "fields": [{"name": "t", "selector": "h2"}]}
    fields = [{"name": "item", "selector": "li a", "details": details}]
    request = {"url": f"{site.url}/", "type": "chrome", "frame": "iframe"}
    process = extracted(owner, site, request=request, fields=fields, paginator="a.next")
    assert records(process) == [{"item": number, "item_details": [{"t": "text"}]} for number in ("1", "2")]


# Shadow roots


def test_open_shadow_roots_are_read_where_they_are_shown(site: Site) -> None:
    site.pages["/"] = html(
        "<my-card><b slot=price>5</b><i>light</i><u slot=none>lost</u></my-card><script>"
        "customElements.define('my-card', class extends HTMLElement { connectedCallback() {"
        "this.attachShadow({mode: 'open'}).innerHTML = '<style>b {}</style><h2>shadow & more</h2><p>costs '"
        " + '<slot name=price>nothing</slot></p><slot></slot><my-inner></my-inner><slot name=empty>default</slot>'"
        " + '<template>not</template>' } });"
        "customElements.define('my-inner', class extends HTMLElement { connectedCallback() {"
        "this.attachShadow({mode: 'open'}).innerHTML = `<em title='\"'>deep</em>` } });"
        "customElements.define('my-closed', class extends HTMLElement { connectedCallback() {"
        "this.attachShadow({mode: 'closed'}).innerHTML = 'hidden' } });</script><my-closed>light too</my-closed>"
    )
    text = shown(site).texts[0]
    for part in (
        "<h2>shadow &amp; more</h2>",
        '<p>costs <slot name="price"><b slot="price">5</b></slot></p>',
        "<slot><i>light</i></slot>",
        '<my-inner><em title="&quot;">deep</em></my-inner>',
        '<slot name="empty">default</slot>',
        '<u slot="none">lost</u>',
        "<my-closed>light too</my-closed>",
    ):
        assert text.count(part) == 1, part
    assert "hidden</my-closed>" not in text
    clicked = shown(site, actions=(BrowserAction("wait", "my-inner em"), BrowserAction("click", "my-inner em")))
    assert "deep" in clicked.texts[0]


def test_a_list_in_a_shadow_root_grows(site: Site) -> None:
    site.pages["/"] = html(
        "<my-list></my-list><script>customElements.define('my-list', class extends HTMLElement { connectedCallback() {"
        "const root = this.attachShadow({mode: 'open'}); root.innerHTML = '<ul><li>0</li></ul><button>more</button>';"
        "root.querySelector('button').onclick = () => setTimeout(() => root.querySelector('ul').append("
        "document.createElement('li')), 100) } })</script>"
    )
    assert shown(site, pagination=Pagination("more", "my-list button", pages=4)).texts[0].count("<li></li>") == 3


# Lists in boxes

BOX = """<div style="height: 3000px" id=tall></div><div id=outer><div id=box style="height: 200px; overflow-y: scroll">
<ul id=l></ul></div></div><script>
const add = () => { for (let n = 0; n < 10; n++) l.insertAdjacentHTML('beforeend',
    `<li style="height: 40px">${l.children.length}</li>`) };
add();
let busy = false;
box.onscroll = () => { if (!busy && l.children.length < 40 && box.scrollTop + 250 > box.scrollHeight) {
    busy = true; setTimeout(() => { add(); busy = false }, 50) } };
</script>"""
# Eight elements for as many items as there are; `order` is where they stand among each other.
RECYCLED = """<div id=box style="height: 200px; overflow-y: auto; position: relative"><div style="height: %(height)spx">
</div></div><script>
const rows = [...Array(8)].map(() => box.appendChild(document.createElement('p')));
const show = () => rows.forEach((row, place) => {
    const first = Math.floor(box.scrollTop / 40), count = %(count)s;
    const number = Math.min(%(order)s, count - 1);
    row.style = `position: absolute; margin: 0; height: 40px; top: ${number * 40}px`;
    row.innerHTML = `<b>${number}</b>`;
});
box.onscroll = () => setTimeout(show, 30);
show();
</script>"""


@pytest.mark.parametrize(
    ("terms", "rules"), [({}, 0), ({"pagination": Pagination("infinite", pages=2)}, 1)], ids=["page", "list"]
)
def test_a_page_whose_library_replaces_what_arrays_do(site: Site, terms: dict[str, Any], rules: int) -> None:
    old = "Array.prototype.reduce = function () { return this.length > 1 ? this : this[0] }"
    shadow = "const root = document.body.appendChild(document.createElement('span')).attachShadow({mode: 'open'})"
    grow = "onscroll = () => { onscroll = null; document.body.append(document.createElement('hr')) }"
    script = f"{old}; {shadow}; root.innerHTML = '<u>in</u>'; {grow}"
    site.pages["/"] = html(f"<h2 style='height: 3000px'>here</h2><script>{script}</script>")
    text = shown(site, **terms).texts[0]
    assert ("<span><u>in</u></span>" in text, text.count("<hr>")) == (True, rules)


@pytest.mark.parametrize(
    ("tall", "terms", "items"),
    [
        ("3000px", {"pagination": Pagination("infinite", "#box", pages=4)}, 40),
        ("3000px", {"pagination": Pagination("infinite", "#l li", pages=2)}, 20),
        ("3000px", {"actions": (BrowserAction("scroll", times=2, box="#l"),)}, 30),
        ("30px", {"pagination": Pagination("infinite", pages=3)}, 30),
    ],
    ids=["box", "an element in it", "action", "the largest box"],
)
def test_a_box_is_scrolled(site: Site, tall: str, terms: dict[str, Any], items: int) -> None:
    site.pages["/"] = html(BOX.replace("3000px", tall))
    assert len(re.findall(r'40px">\d+</li>', shown(site, **terms).texts[0])) == items


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("order", "count", "steps"),
    [
        ("first + place", 18, 5),
        ("first + (place - first % 8 + 8) % 8", 14, 100),
    ],  # five show all; the other ends itself
    ids=["in order", "turned around"],
)
def test_a_list_that_uses_its_elements_again_is_read_as_it_is_scrolled(
    owner: Person, site: Site, settings: Any, order: str, count: int, steps: int
) -> None:
    settings.EXTRACTION_CHROME_STEPS = steps
    site.pages["/"] = html(RECYCLED % {"height": count * 40, "order": order, "count": count})
    request = {"url": f"{site.url}/", "type": "chrome"}
    rule = {"commonParent": "p", "fields": [{"name": "n", "selector": "b", "type": "integer"}]}
    process = extracted(owner, site, request=request, paginator={"type": "infinite", "selector": "#box"}, **rule)
    found = [record["n"] for record in records(process)]
    assert sorted(set(found)) == list(range(count))
    if order == "first + place":
        assert found[: count - 8] == list(range(count - 8))


# Hostile pages


@pytest.mark.parametrize(
    ("body", "actions"),
    [
        ("<h2>here</h2>", (BrowserAction("script", value="while (true) {}"),)),
        ("<h2>here</h2>", (BrowserAction("script", value="await new Promise(() => {})"),)),
        ("<h2>here</h2><button onclick='while (true) alert(1)'>x</button>", (BrowserAction("click", "button"),)),
    ],
    ids=["loop", "promise", "alerts"],
)
def test_what_never_ends_is_ended(site: Site, body: str, actions: tuple[BrowserAction, ...]) -> None:
    site.pages["/hostile"], site.pages["/"] = html(body), html("<h2>fine</h2>")
    assert re.search("took longer than|not soon enough", refusal(site, "/hostile", actions=actions, seconds=1))
    assert "<h2>fine</h2>" in shown(site).texts[0]


@pytest.mark.parametrize(
    ("body", "terms"),
    [
        (
            "<script>setInterval(() => { open('/other'); alert(1); location.hash = Math.random();"
            " const a = document.createElement('a'); a.href = '/file'; a.download = 'x'; a.click() }, 30)</script>",
            {"actions": (BrowserAction("scroll", value="bottom"), BrowserAction("wait", "h2"))},
        ),
        (
            "<div id=l></div><script>setInterval(() => l.insertAdjacentHTML('beforeend', '<p>x</p>'), 20)</script>",
            {"pagination": Pagination("infinite", pages=100)},
        ),
        (
            "<div id=l></div><script>setInterval(() => { l.innerHTML = [...Array(20)].map(() =>"
            " `<p>${Math.random()}</p>`).join(''); document.body.style.height = 1e6 + 'px' }, 100)</script>",
            {"pagination": Pagination("infinite", pages=100)},
        ),
        ("<iframe src='/'></iframe><script>setInterval(() => fetch('/other'), 30)</script>", {"frame": "iframe"}),
        (
            "<script>Element.prototype.querySelectorAll = Document.prototype.querySelectorAll = () => { throw 1 };"
            " Array.prototype.map = () => null; window.MutationObserver = null</script>",
            {"actions": (BrowserAction("hover", "h2"),)},
        ),
    ],
    ids=["windows", "growing", "recycling", "itself", "broken"],
)
def test_a_hostile_page_ends_within_its_limits(site: Site, body: str, terms: dict[str, Any]) -> None:
    """It may fail or be read as it is; the next page is shown in any case."""
    site.pages["/hostile"], site.pages["/"] = html(f"<h2>here</h2>{body}"), html("<h2>fine</h2>")
    site.pages["/file"] = Reply("x", headers={"Content-Disposition": "attachment"})
    try:
        assert shown(site, "/hostile", seconds=2, **terms).texts
    except Exception as failure:
        assert type(failure).__name__ == "PageFailure"
    assert "<h2>fine</h2>" in shown(site).texts[0]


def test_whatever_a_script_asks_for_passes_the_gate(site: Site) -> None:
    site.pages["/"] = html("<h2>here</h2>")
    with serving() as other:
        allowed = Allow.parse([f"127.0.0.1:{site.url.rpartition(':')[2]}"])
        script = f"""const far = '{other.url}/';
            document.body.append(Object.assign(new Image(), {{src: far}}),
                Object.assign(document.createElement('iframe'), {{src: far}}));
            open(far); navigator.sendBeacon(far); new WebSocket(far.replace('http', 'ws'));
            await fetch(far, {{mode: 'no-cors'}}).catch(() => 0); await import(far + 'x.js').catch(() => 0)"""
        action = BrowserAction("script", value=script)
        assert "here" in shown(site, policy=replace(configured_policy(), allow=allowed), actions=(action,)).texts[0]
        assert not other.hits


# Logins, and proxies

FILLED: list[dict[str, Any]] = [
    {"fill": {"selector": "[name=user]", "value": "ada"}},
    {"fill": {"selector": "[name=password]", "value": "s3cret"}},
]
INPUTS = "<input type=hidden name=token value=t0><input name=user><input type=password name=password>"
PAGES = {
    "form": f"<form action=/session method=post>{INPUTS}<button>in</button></form>",
    "script": f"""<form id=f>{INPUTS}<button>in</button></form><script>f.onsubmit = event => {{ event.preventDefault();
        fetch('/session', {{method: 'POST', body: new URLSearchParams(new FormData(f))}}).then(r => {{
            if (r.ok) location = '/home'; else document.title = 'wrong' }}) }}</script>""",
    "frame": "<iframe src='/form'></iframe>",
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "type"), [("form", "chrome"), ("script", "base"), ("frame", "base")])
def test_a_login_by_actions(owner: Person, site: Site, kind: str, type: str) -> None:
    def session(path: str, before: int) -> Reply:
        time.sleep(0.5)
        if parse_qs(site.bodies[path].decode()) != {"token": ["t0"], "user": ["ada"], "password": ["s3cret"]}:
            return Reply("wrong", 403)
        return html("welcome", **{"Set-Cookie": "session=s1; Path=/; HttpOnly"})

    site.pages["/login"], site.pages["/form"], site.pages["/session"] = html(PAGES[kind]), html(PAGES["form"]), session
    site.other = lambda path, before: html(f"<h1>{'session=s1' in site.seen[path].get('Cookie', '')}</h1>")
    frame = {"frame": "iframe"} if kind == "frame" else {}
    actions = [{**action, **frame} for action in [*FILLED, {"click": "button"}]]
    request = {"url": f"{site.url}/{{1..3}}", "type": type}
    login = {"url": f"{site.url}/login", "actions": actions}
    fields = [{"name": "t", "selector": "h1"}]
    process = extracted(owner, site, request=request, fields=fields, login=login)
    assert [record["t"] for record in records(process)] == ["True"] * 3
    assert (site.hits["/login"], site.hits["/session"]) == (1, 1)
    assert process.cost == 5 + 3 * (5 if type == "chrome" else 1)
    assert "s3cret" not in owner.get(f"/v1/process/{process.id}/pages").content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ([*FILLED, {"click": "button"}], "The server answers 403."),
        ([{"waitFor": "#none"}], "no #none to wait"),
        ([{"script": "throw 'no'"}], "The script of an action fails"),
    ],
)
def test_a_login_by_actions_that_fails_ends_the_process(
    owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch, actions: list[Any], error: str
) -> None:
    if "waitFor" in actions[0]:  # in vain
        monkeypatch.setattr(page_actions, "ACTION_SECONDS", 0.5)
    site.pages["/login"], site.pages["/session"] = html(PAGES["form"]), Reply("wrong", 403)
    site.other = lambda path, before: html("<h1>1</h1>")
    login = {"url": f"{site.url}/login", "actions": actions}
    process = extracted(owner, site, request={"url": f"{site.url}/1"}, fields=TITLE, login=login)
    assert process.status == "failed"
    assert error in page(process, "/login").error
    assert not site.hits["/1"]
    log = owner.get(f"/runs/{process.run_id}/logs").content.decode()
    assert error in log


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_browser_goes_through_a_socks_proxy_with_a_login(site: Site, scheme: str) -> None:
    site.pages["/"] = html("<h2>x</h2><img src=/a.png>")
    with serving_socks(("ann", "s3cret")) as proxy:
        assert "<h2>x</h2>" in shown(site, proxy=proxy.url("ann:s3cret", scheme=scheme)).texts[0]
        assert len(proxy.asked) >= 2
        assert "authentication failure" in refusal(site, "/", proxy=proxy.url("ann:wrong", scheme=scheme))


@pytest.mark.django_db(transaction=True)
def test_a_proxy_through_which_no_page_is_rendered_rests(owner: Person, site: Site, settings: Any) -> None:
    settings.EXTRACTION_CHROME_CONCURRENCY = 1
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    with serving_socks() as good, serving_socks(reply=CLOSING) as dead:  # the first is asked for robots.txt
        request = {"url": f"{site.url}/{{1..2}}", "type": "chrome", "proxy": [good.url(), dead.url()]}
        process = extracted(owner, site, request=request, fields=TITLE)
    assert [record["title"] for record in records(process)] == ["/1", "/2"]
    assert process.requests == 3


@pytest.mark.parametrize(
    ("place", "request_terms"),
    [
        ("/request/actions/0", {"actions": [{"press": "Enter", "click": "a"}]}),
        ("/request/actions/0", {"actions": [{"frame": "#f"}]}),
        ("/request/actions/0/press", {"actions": [{"press": "Return"}]}),
        ("/request/actions/0/press", {"actions": [{"press": "Control+"}]}),
        ("/request/actions/0/press", {"actions": [{"press": "Hyper+A"}]}),
        ("/request/actions/0/press/key", {"actions": [{"press": {"selector": "a"}}]}),
        ("/request/actions/0/press/key", {"actions": [{"press": {"key": "ab"}}]}),
        ("/request/actions/0/press/selector", {"actions": [{"press": {"key": "a", "selector": "a["}}]}),
        ("/request/actions/0/select/value", {"actions": [{"select": {"selector": "a"}}]}),
        ("/request/actions/0/select/value", {"actions": [{"select": {"selector": "a", "value": [1]}}]}),
        ("/request/actions/0/select/selector", {"actions": [{"select": {"value": "b"}}]}),
        ("/request/actions/0/hover", {"actions": [{"hover": ""}]}),
        ("/request/actions/0/wait", {"actions": [{"wait": 31}]}),
        ("/request/actions/0/wait", {"actions": [{"wait": "#a"}]}),
        ("/request/actions/0/script", {"actions": [{"script": " "}]}),
        ("/request/actions/0/script", {"actions": [{"script": "x" * 20_001}]}),
        ("/request/actions/0/frame", {"actions": [{"click": "a", "frame": "a["}]}),
        ("/request/actions/0/scroll/box", {"actions": [{"scroll": {"paginate": 2, "element": "a", "box": "b"}}]}),
        ("/request/frame", {"frame": "a["}),
        ("/request/frame", {"frame": "a >> b["}),
        ("/request/frame", {"frame": "a >>"}),
        ("/request/frame", {"frame": "a", "type": "base"}),
        ("/request/actions", {"actions": [{"script": "1"}], "type": "base"}),
    ],
)
@pytest.mark.django_db
def test_faults_have_their_places(owner: Person, place: str, request_terms: dict[str, Any]) -> None:
    request = {"url": "http://x/", "type": "chrome", **request_terms}
    answer = owner.post("/v1/task/create", {"request": request, "fields": TITLE})
    assert answer.status_code == 400, answer.content
    assert place in [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.django_db
def test_a_frame_of_details_needs_a_browser(owner: Person) -> None:
    details = {"request": {"frame": "iframe"}, "fields": TITLE}
    fields = [{"name": "a", "selector": "a", "details": details}]
    answer = owner.post("/v1/task/create", {"request": {"url": "http://x/"}, "fields": fields})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/fields/0/details/request/frame"]


def test_each_action_is_documented() -> None:
    text = Path("docs/extraction-examples.md").read_text()
    assert [name for name in ACTIONS if f'{{"{name}": ' not in text] == ["input"]  # as the cloud spells `fill`
