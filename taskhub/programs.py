"""The command lines of everything that runs, in one place: `manage.py up` and docker-compose.yml start the same."""

import sys
from collections.abc import Iterable

QUEUES = ["walkers", "sequences", "crawlers", "extraction", "webhooks"]
WEB_PROCESSES = 2
# Connections that one web process serves at once; one that waits costs some kilobytes.
WEB_CONNECTIONS = 16_384
HEAD_MILLISECONDS = 10_000


def commands(host: str, port: int, workers: int, queues: Iterable[str]) -> dict[str, list[str]]:
    """Name of a program to its arguments. `workers` counts the processes of the queue `walkers`."""
    sizes = {queue: workers if queue == "walkers" else 1 for queue in queues}
    return {
        "web": web(host, port),
        **{f"worker:{queue}": worker(queue, size) for queue, size in sizes.items()},
        "beat": beat(),
    }


def web(host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "taskhub.asgi:application"),
        *("--host", host, "--port", str(port), "--http", "1", "--no-ws"),
        *("--workers", str(WEB_PROCESSES), "--respawn-failed-workers", "--respawn-interval", "0.5"),
        *("--loop", "uvloop", "--backpressure", str(WEB_CONNECTIONS), "--backlog", "2048"),
        *("--http1-header-read-timeout", str(HEAD_MILLISECONDS)),
        *("--workers-kill-timeout", "10"),
    ]


def worker(queue: str, size: int) -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-q", "-A", "taskhub", "worker", "-Q", queue, "-n", f"{queue}@%h"),
        *("--pool", "prefork", "--concurrency", str(size), "--loglevel", "INFO"),
        # What the workers would tell each other is in the runs table.
        *("--without-gossip", "--without-mingle"),
    ]


def beat() -> list[str]:
    return [
        sys.executable,
        "-m",
        "celery",
        "-q",
        "-A",
        "taskhub",
        "beat",
        "--scheduler",
        "taskhub.runs.scheduler.beat:BeatScheduler",
    ]
