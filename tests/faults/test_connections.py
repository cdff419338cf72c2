"""More connections than anybody needs, each of an evil sort: the others are served meanwhile."""

import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import redis
import requests

from taskhub.embedded import Home, Servers
from tests import crawler_client
from tests.extraction_sites import html, serving
from tests.faults.disposable import Disposable, until
from tests.hub import Hub
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("front")]

CONNECTIONS = 2_400
SORTS = {
    "an unfinished head": b"POST /user/token/ HTTP/1.1\r\nHost: 127.0.",
    "an unfinished body": b"POST /user/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{",
    "an unfinished chunk": b"POST /user/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "an unread answer": b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "nothing": b"",
}


@pytest.fixture(autouse=True)
def _many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.mark.parametrize("sort", SORTS)
def test_others_are_served_beside_connections_with(hub: Hub, sort: str) -> None:
    owner, place = hub.sign_up(), urlsplit(hub.url)
    requests.get(f"{hub.url}/openapi.json", timeout=60)  # made once
    with ExitStack() as connections:
        for _ in range(CONNECTIONS):
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((place.hostname, place.port))
            connection.sendall(SORTS[sort])
        for number in range(10):
            answer = owner.post("/js/walker_run", {"name": "echo", "ctx": {"value": number}}, timeout=15)
            assert answer.json()["report"] == [number]


def test_others_are_served_beside_slow_readers_of_a_result(hub: Hub) -> None:
    owner, place = hub.sign_up(), urlsplit(hub.url)
    with serving() as site:
        site.pages["/"] = html("x" * 8_000_000)
        process = owner.post("/v1/fetch", {"url": f"{site.url}/", "type": "base", "output": "file"}).json()
    link = urlsplit(owner.get("/v1/getlink", {"name": process["results"]}).text)
    request = f"GET {link.path}?{link.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with ExitStack() as connections:
        for _ in range(200):
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((place.hostname, place.port))
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"
        for number in range(10):
            answer = owner.post("/js/walker_run", {"name": "echo", "ctx": {"value": number}}, timeout=15)
            assert answer.json()["report"] == [number]


def test_plain_uploads_in_chunks_from_one_address_at_once(hub: Hub) -> None:
    """Four at a time, as a crawler with parallel uploads sends them; some connections beside them are reset."""
    owner = hub.sign_up()
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop")
    crawler = crawler_client.crawler(owner, external)["crawler"]
    target = f"{hub.url}/actions/tasks/{crawler_client.start(owner, crawler)['fid']}/upload"

    def upload(number: int) -> requests.Response:
        pieces = (b'{"sku": "%d-%d"}\n' % (number, line) for line in range(50))
        return requests.post(target, data=pieces, headers={"Authorization": f"token {owner.token}"}, timeout=60)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(upload, range(40)))
    assert [answer.status_code for answer in answers] == [200] * 40
    assert sum(answer.json()["inserted"] for answer in answers) == 2_000


@pytest.mark.parametrize("target", ["/runs/{id}/events", "/js/walker_queue_wait?timeout=60&task_id={id}"])
def test_waits_whose_clients_left_give_their_places_back(broken: Disposable, target: str) -> None:
    """A user has a hundred places in each of two processes."""
    owner, place = broken.people.sign_up(), urlsplit(broken.people.url)
    run = owner.post("/js/walker_run", {"name": "pause", "ctx": {"seconds": 600}, "is_async": True}).json()["task_id"]
    path = target.format(id=run)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {owner.token}\r\n\r\n".encode()

    def call() -> socket.socket:
        connection = socket.create_connection((place.hostname, place.port), 60)
        connection.sendall(request)
        return connection

    def is_taken() -> bool:
        """Whether a wait finds a place, in whichever process a new connection comes to."""
        url = f"{broken.people.url}/js/walker_queue_wait?timeout=0.01&task_id={run}"
        return requests.get(url, headers={"Authorization": f"token {owner.token}"}, timeout=60).status_code == 200

    with ExitStack() as waits:
        for _ in range(250):
            waits.enter_context(call())
        until(lambda: not is_taken())  # all places are taken, in one of the processes at least
    until(lambda: all(is_taken() for _ in range(20)))
    assert owner.post("/js/walker_queue_cancel", {"task_id": run}).status_code == 200


def test_idle_connections_end_when_the_server_stops(broken: Disposable) -> None:
    place = urlsplit(broken.people.url)
    web = broken.program("web")
    with ExitStack() as connections:
        idle = [connections.enter_context(socket.create_connection((place.hostname, place.port))) for _ in range(20)]
        for connection in idle[:10]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        web.terminate()
        for connection in idle:
            connection.settimeout(60)
            while connection.recv(65536):
                pass
    until(lambda: not is_alive(web))
    broken.await_health()


def is_listened_for(broken: Disposable, run: str) -> bool:
    """Whether somebody waits for a run: the call of a client that has begun may still be on its way."""
    server = Servers.of(Home(broken.home), broken.environment).redis
    assert server is not None
    with redis.Redis.from_url(server.url) as connection:
        return bool(connection.pubsub_channels(f"*{run}"))


def test_a_wait_is_answered_with_the_state_when_the_server_stops(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    task = owner.post("/js/walker_run", {"name": "pause", "ctx": {"seconds": 600}, "is_async": True}).json()["task_id"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(owner.get, "/js/walker_queue_wait", {"task_id": task, "timeout": 60})
        until(lambda: is_listened_for(broken, task))
        until(lambda: owner.get("/runs", {"state": "PROGRESS"}).json()["results"])
        web = broken.program("web")
        web.terminate()
        assert waiting.result().json()["state"] == "PROGRESS"
    until(lambda: not is_alive(web))  # while it ends it still answers, as if all were well
    broken.await_health()
    owner.post("/js/walker_queue_cancel", {"task_id": task})  # or whoever ends the hub waits for it
