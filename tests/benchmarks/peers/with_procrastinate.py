"""procrastinate, which keeps its jobs in PostgreSQL, too: `with_procrastinate <database> <jobs a call> <seconds>`.

Prints jobs a second, deferred by one call after the other.
"""

import sys
import time
from typing import Any

from procrastinate import App, SyncPsycopgConnector


def main(address: str, size: int, seconds: float) -> None:
    app = App(connector=SyncPsycopgConnector(conninfo=address))
    with app.open():
        if not app.check_connection():
            app.schema_manager.apply_schema()
        deferrer = app.configure_task("echo")
        jobs: list[Any] = [{"value": "hello"}] * size
        deferrer.batch_defer(*jobs)
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            deferrer.batch_defer(*jobs)
            calls += 1
        print(calls * size / (time.perf_counter() - began))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
