"""Each process has an object of its own."""

import os
import threading
import time

from taskhub.db.process_local import ProcessLocal


def test_an_object_is_made_once_a_process() -> None:
    made: list[str] = []

    def make(name: str) -> object:
        made.append(name)
        return object()

    local = ProcessLocal(make)
    assert local.peek() is None
    first = local.get("first")
    assert local.get("second") is first is local.peek()
    assert made == ["first"]


def test_a_forked_process_makes_its_own() -> None:
    local = ProcessLocal(os.getpid)
    assert local.get() == os.getpid()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, f"{local.peek()} {local.get()}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() == f"None {child}"
    assert local.get() == os.getpid()
    os.close(reader)
    os.close(writer)


def test_threads_that_ask_at_once_share_one() -> None:
    def made_slowly() -> object:
        time.sleep(0.05)
        return object()

    local = ProcessLocal(made_slowly)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(local.get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_after_clear_a_new_one_is_made() -> None:
    local = ProcessLocal(object)
    first = local.get()
    local.clear()
    assert local.get() is not first
