"""The command lines of everything that runs."""

import sys

from taskhub.programs import WEB_PROCESSES, commands


def test_there_is_a_web_server_a_worker_for_each_queue_and_a_beat() -> None:
    found = commands("127.0.0.1", 8000, 3, ["walkers", "webhooks"])
    assert list(found) == ["web", "worker:walkers", "worker:webhooks", "beat"]
    assert all(argv[:2] == [sys.executable, "-m"] for argv in found.values())


def test_only_the_walkers_queue_has_as_many_processes_as_asked_for() -> None:
    found = commands("127.0.0.1", 8000, 3, ["walkers", "webhooks"])
    sizes = {name: argv[argv.index("--concurrency") + 1] for name, argv in found.items() if "worker" in name}
    assert sizes == {"worker:walkers": "3", "worker:webhooks": "1"}


def test_the_web_server_listens_where_it_is_told() -> None:
    web = " ".join(commands("::1", 8123, 2, [])["web"])
    assert "--host ::1 --port 8123" in web
    assert f"--workers {WEB_PROCESSES} " in web
