"""The row of webhooks: deliveries beside runs that do nothing."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.load import load
from tests.benchmarks.request_rows import ECHO_LATER, RUN
from tests.benchmarks.row import Measured, by_turns
from tests.benchmarks.stage import Stage
from tests.benchmarks.worker_rows import seconds_until_none

COUNT, RECEIVERS = 500, 10
ROUNDS = 3
TEST = "/webhooks/test"
# Whether a delivery is late or lost: one that failed twice waits five minutes for its third attempt.
OPEN = "{} of kind {} are {} after {} attempts, the next in {:.0f} s: {}"
OPEN_RUNS = """
SELECT count(*), kind, state, attempt, extract(epoch FROM coalesce(min(not_before) - now(), '0 s')),
    min(error ->> 'message')
FROM runs_run WHERE finished_at IS NULL GROUP BY kind, state, attempt
"""


def webhooks(stage: Stage) -> Measured:
    """From the first that is accepted to the last recorded end; both are runs, one of which posts and is answered."""
    with receiver() as url, stage.database() as ledger:

        def open_runs() -> int:
            [count] = ledger.execute("SELECT count(*) FROM runs_run WHERE finished_at IS NULL").fetchone() or [0]
            return int(count)

        def describe() -> str:
            return "; ".join(OPEN.format(*row) for row in ledger.execute(OPEN_RUNS).fetchall())

        def rate(path: str, *bodies: bytes) -> float:
            began = time.perf_counter()
            for body in bodies:
                with load(stage.call(path, body, 202), stage.clients) as clients:
                    clients.times(COUNT // len(bodies))
            seconds_until_none(open_runs, describe)
            return COUNT / (time.perf_counter() - began)

        # A receiver gets one delivery at a time, whoever measures.
        receivers = [json.dumps({"url": f"{url}/{number}"}).encode() for number in range(RECEIVERS)]
        floor, ours = by_turns(ROUNDS, lambda: rate(RUN, ECHO_LATER), lambda: rate(TEST, *receivers))
    return Measured(floor, ours, "/s")


@contextmanager
def receiver() -> Iterator[str]:
    """A server that takes everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
