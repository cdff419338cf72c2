"""Finds and starts Chromium, and limits its memory.

Each worker process has one browser, in a thread with an event loop of its own, so that it outlives slices. It is
started when it is first needed, and anew when it takes too much memory, crashed, or has shown many pages.
"""

import asyncio
import logging
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Hashable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psutil
from django.conf import settings

from extraction.domain.process_status import PageFailure
from extraction.fetch.shared_windows import SharedWindows
from taskhub.db.process_local import ProcessLocal
from taskhub.outbound import Policy
from taskhub.outbound.proxy import GateProxy
from taskhub.outbound.session import USER_AGENT

log = logging.getLogger(__name__)

T = TypeVar("T")

# The shell shows pages and has no interface around them, which costs four times as much of the processors.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
DOWNLOADED = (  # by Playwright
    ".cache/ms-playwright/chromium_headless_shell-*/chrome*linux*/*headless*shell",
    ".cache/ms-playwright/chromium-*/chrome-linux*/chrome",
)
PAGES_MAX = 300  # that one browser shows
STARTS_MAX = 3  # until a window opens
WATCH_SECONDS = 0.25  # between two looks at its memory
CLOSE_SECONDS = 5
MEBIBYTE = 1024 * 1024
NO_BROWSER = (
    "Pages are rendered by the extra `chrome`, which is not installed here: `make chrome` installs it, and Chromium "
    "comes from your system or with `.venv/bin/playwright install chromium`."
)
# What Chromium asks its maker of by itself: what the fields of a form are for, for example.
OWN_HOSTS = frozenset(
    {
        "clientservices.googleapis.com",
        "content-autofill.googleapis.com",
        "edgedl.me.gvt1.com",
        "optimizationguide-pa.googleapis.com",
        "redirector.gvt1.com",
        "safebrowsing.googleapis.com",
        "update.googleapis.com",
    }
)
ARGUMENTS = [
    "--disable-quic",  # UDP would bypass the gate
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # names are resolved by the gate
    "--proxy-bypass-list=<-loopback>",  # also this machine is called through the gate
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--mute-audio",
]


def why_no_browser() -> str:
    """Why pages cannot be rendered here, in words; empty when they can be."""
    return "" if find_spec("playwright") and executable() else NO_BROWSER


def executable() -> str:
    """The path of Chromium; empty where none is found."""
    if settings.CHROMIUM:
        return str(shutil.which(settings.CHROMIUM) or "")
    for name in NAMES:
        if path := shutil.which(name):
            return path
    downloaded = (path for pattern in DOWNLOADED for path in sorted(Path.home().glob(pattern), reverse=True))
    return next(map(str, downloaded), "")


class Chromium:
    """One browser that was started. A `stale` one gets no new windows, and is closed with its last one."""

    def __init__(self) -> None:
        self.users = self.pages = 0
        self.stale = False
        self.mark = f"--taskhub={uuid4().hex}"  # an argument by which its OS process is found
        self._process: psutil.Process | None = None

    async def start(self) -> None:
        from playwright.async_api import async_playwright

        self._driver = await async_playwright().start()
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        try:
            self.browser = await self._driver.chromium.launch(
                executable_path=executable(),
                args=[*ARGUMENTS, self.mark],
                chromium_sandbox=settings.CHROMIUM_SANDBOX and not root,  # it refuses to run as root
                proxy={"server": "http://127.0.0.1:9"},  # each context has its own; whatever has none reaches nobody
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except BaseException:
            await self._driver.stop()
            raise
        self._watching = asyncio.ensure_future(self._watch())

    @property
    def alive(self) -> bool:
        return not self.stale and self.browser.is_connected()

    async def close(self) -> None:
        self.stale = True
        self._watching.cancel()
        processes = await asyncio.to_thread(self.processes)
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.browser.close()
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._driver.stop()
        for process in processes:
            with suppress(psutil.Error):
                process.kill()  # only if it is still the same one: psutil compares start times

    def processes(self) -> list[psutil.Process]:
        """The browser's OS process, and its children. It is looked for once, which takes a look at all."""
        self._process = self._process or self._find_process()
        with suppress(psutil.Error):
            if self._process:
                return [self._process, *self._process.children(recursive=True)]
        return []

    def _find_process(self) -> psutil.Process | None:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                command = process.cmdline()
                if self.mark in command and "--type=" not in " ".join(command):
                    return process
        return None

    async def _watch(self) -> None:
        """Kills the OS process of a page that takes too much memory; that page crashes, and the others go on."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.users:
                await asyncio.to_thread(self._limit_memory)

    def _limit_memory(self) -> None:
        total = 0
        for process in self.processes():
            with suppress(psutil.Error):
                memory = own_memory(process)
                total += memory
                if memory > settings.EXTRACTION_CHROME_PAGE_MB * MEBIBYTE and "--type=renderer" in process.cmdline():
                    log.warning("A page took %d MiB; its process is ended", memory // MEBIBYTE)
                    process.send_signal(signal.SIGKILL)
        self.stale |= total > settings.EXTRACTION_CHROME_MB * MEBIBYTE


def own_memory(process: psutil.Process) -> int:
    """About how many bytes of memory a process shares with no other."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


class BrowserThread:
    """The browser of a process, and the thread with the event loop that drives it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.chromium: Chromium | None = None
        self.lock = asyncio.Lock()
        # Of twice as many as one owner gets, some are free for the next, however long his pages take.
        self.windows = SharedWindows(2 * settings.EXTRACTION_CHROME_CONCURRENCY)
        threading.Thread(target=self.loop.run_forever, name="browser", daemon=True).start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` in the browser's thread; it is called from another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def close(self) -> None:
        """Closes the browser, if there is one."""
        chromium, self.chromium = self.chromium, None
        if chromium:
            await chromium.close()

    @asynccontextmanager
    async def window(
        self, policy: Policy, *, owner: Hashable, upstream: str, max_bytes: int, device_scale: float = 1.0
    ) -> AsyncIterator[tuple[Any, GateProxy]]:
        """Opens a window without cookies, whose only way out is the gate. Runs in the browser's thread.

        Raises `PageFailure` where no browser starts.
        """
        gate = GateProxy(policy, upstream=upstream, max_bytes=max_bytes, own_hosts=OWN_HOSTS)
        async with self.windows.hold(owner), gate as proxy:
            chromium, context = await self._new_context(proxy, device_scale)
            try:
                yield context, proxy
            finally:
                await self._close_context(context, chromium)
                await self._release(chromium)

    async def _new_context(self, proxy: GateProxy, device_scale: float) -> tuple[Chromium, Any]:
        """Opens a window, in a new browser where the one that is running turns out to have crashed."""
        for _ in range(STARTS_MAX):
            chromium = await self._acquire()
            try:
                return chromium, await chromium.browser.new_context(
                    proxy={"server": proxy.address},
                    user_agent=_user_agent(chromium),
                    accept_downloads=False,
                    device_scale_factor=device_scale,
                    service_workers="block",
                )
            except BaseException as error:
                chromium.stale = True
                await self._release(chromium)
                if not isinstance(error, Exception):
                    raise
                log.warning("Chromium crashed: %s", str(error).partition("\n")[0])
        raise PageFailure("The browser crashed.", retry=True)

    async def _release(self, chromium: Chromium) -> None:
        chromium.users -= 1
        if chromium.stale and not chromium.users:
            await chromium.close()

    async def _acquire(self) -> Chromium:
        async with self.lock:
            chromium = self.chromium
            if chromium is None or not chromium.alive or chromium.pages >= PAGES_MAX:
                self.chromium = None
                if chromium:
                    chromium.stale = True
                    if not chromium.users:
                        await chromium.close()
                chromium = self.chromium = await _start_chromium()
            chromium.users += 1
            chromium.pages += 1
            return chromium

    async def _close_context(self, context: Any, chromium: Chromium) -> None:
        """Closes a window. A page that lets nothing else run may prevent that: then the browser is given up."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await context.close()
        except Exception:
            chromium.stale = True


browser_thread = ProcessLocal(BrowserThread)


def _user_agent(chromium: Chromium) -> str:
    version = chromium.browser.version.partition(".")[0]
    return (
        f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 "
        f"Safari/537.36 {USER_AGENT}"
    )


async def _start_chromium() -> Chromium:
    if detail := why_no_browser():
        raise PageFailure(detail)
    chromium = Chromium()
    try:
        await chromium.start()
    except Exception as error:
        log.exception("Chromium does not start")
        raise PageFailure(f"Chromium does not start: {type(error).__name__}.", retry=True) from None
    return chromium
