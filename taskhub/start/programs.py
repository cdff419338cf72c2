"""The command lines of everything that runs, in one place: `manage.py up` and docker-compose.yml start the same."""

import sys

QUEUES = ["walkers", "sequences", "crawlers", "extraction", "webhooks", "deliveries", "removal"]
# Their runs are nearly all waiting: one process performs many at once, in threads. Those of the others are Python code
# of users and parsing of pages: each has a process.
THREAD_QUEUES = ["sequences", "crawlers", "webhooks", "deliveries", "removal"]
WEB_PROCESSES = 2
# Connections that one web process serves at once; one that waits costs some kilobytes.
WEB_CONNECTIONS = 16_384
HEAD_MILLISECONDS = 10_000


def commands(host: str, port: int, workers: int, *, apart: bool = False) -> dict[str, list[str]]:
    """Name of a program to its arguments. `workers` counts the processes of the queue `walkers`.

    The queues with threads share one program; `apart` gives each its own.
    """
    threads = {queue: [queue] for queue in THREAD_QUEUES} if apart else {"threads": THREAD_QUEUES}
    return {
        "web": web(host, port),
        "worker:walkers": worker("walkers", workers),
        "worker:extraction": worker("extraction", 1),
        **{f"worker:{name}": threaded_worker(name, queues) for name, queues in threads.items()},
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


def threaded_worker(name: str, queues: list[str]) -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-q", "-A", "taskhub.threads", "worker", "-Q", ",".join(queues)),
        # Celery only notifies the threads, see taskhub.runs.queue.worker_threads.
        *("-n", f"{name}@%h", "--pool", "solo", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
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
