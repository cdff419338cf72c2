"""The command lines of everything that runs."""

import sys

from taskhub.start.programs import QUEUES, THREAD_QUEUES, WEB_PROCESSES, commands


def served(program: list[str]) -> list[str]:
    return program[program.index("-Q") + 1].split(",")


def test_there_is_a_web_server_a_worker_for_each_queue_and_a_beat() -> None:
    found = commands("127.0.0.1", 8000, 3, apart=True)
    assert {"web", "beat"} < found.keys()
    assert {name: served(argv) for name, argv in found.items() if "worker" in name} == {
        f"worker:{queue}": [queue] for queue in QUEUES
    }
    assert all(argv[:2] == [sys.executable, "-m"] for argv in found.values())


def test_the_queues_whose_runs_wait_share_a_worker() -> None:
    found = commands("127.0.0.1", 8000, 3)
    assert list(found) == ["web", "worker:walkers", "worker:extraction", "worker:threads", "beat"]
    assert served(found["worker:threads"]) == THREAD_QUEUES


def test_only_the_walkers_queue_has_as_many_processes_as_asked_for() -> None:
    found = commands("127.0.0.1", 8000, 3)
    sizes = {name: argv[argv.index("--concurrency") + 1] for name, argv in found.items() if "--concurrency" in argv}
    assert sizes == {"worker:walkers": "3", "worker:extraction": "1"}


def test_the_web_server_listens_where_it_is_told() -> None:
    web = " ".join(commands("::1", 8123, 2)["web"])
    assert "--host ::1 --port 8123" in web
    assert f"--workers {WEB_PROCESSES} " in web
