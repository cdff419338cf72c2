"""What the heartbeat of a worker says, while Celery changes its processes and connections."""

from types import SimpleNamespace
from typing import Any

from taskhub.runs.health import worker_heartbeat


def consumer(*processes: int | None, connected: bool = True) -> Any:
    queues = SimpleNamespace(queues=[SimpleNamespace(name="walkers")])
    return SimpleNamespace(
        hostname="walkers@here",
        task_consumer=queues if connected else None,
        pool=SimpleNamespace(info={"processes": list(processes)}),
    )


def test_a_process_that_is_being_started_is_left_out() -> None:
    said = worker_heartbeat._look(consumer(7, None, 5), {})
    assert said == {"walkers@here": (["walkers"], [5, 7])}


def test_a_consumer_that_connects_again_says_what_it_said() -> None:
    before = worker_heartbeat._look(consumer(5, 7), {})
    assert worker_heartbeat._look(consumer(5, 7, connected=False), before) == before
