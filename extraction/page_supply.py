"""The pages and credits that a slice has at hand: claimed and reserved before the last ones are used up."""

import asyncio
import time
from collections.abc import Callable, Collection

from asgiref.sync import sync_to_async

from extraction.models import Process, Slice
from extraction.services import page_table, slices
from extraction.services.page_table import ClaimedPage, PageOutcome

CLAIM_SECONDS = 0.1  # until pages are claimed again, after there was none
STOCK = 96  # pages that a slice has at hand at first, and at least; others may have the rest
STOCK_MAX = 384
STOCK_SECONDS = 0.2  # how long a stock lasts at the speed of the slice
KNOWN_MAX = 50_000  # pages of earlier slices that are known; of more, some may be fetched twice
RESERVED_PAGES = 300  # whose credits are reserved at once, when those at hand suffice for half as many


class CreditAllowance:
    """Credits that a slice reserved and has not used."""

    def __init__(self) -> None:
        self.left = 0
        self._changed = asyncio.Event()

    def take(self, amount: int) -> bool:
        """Takes credits to pay with; False, and takes none, where there are not as many."""
        if self.left < amount:
            return False
        self.left -= amount
        return True

    def give(self, amount: int) -> None:
        """Adds credits that were reserved, or gives some back."""
        self.left += amount
        if amount > 0:
            self.wake()

    async def wait(self) -> None:
        """Waits until there are more, or `wake` is called."""
        self._changed.clear()
        await self._changed.wait()

    def wake(self) -> None:
        self._changed.set()


class PageSupply:
    """Has pages and credits at hand for one slice, and decides when its turn is over (`close_if_over`).

    `over` is set then: no further page is begun.
    """

    def __init__(self, slice: Slice, process: Process, max_pages: int) -> None:
        self._slice, self._process, self._price = slice, process, process.price
        self._pages: asyncio.Queue[ClaimedPage | None] = asyncio.Queue()  # None: the turn is over
        self._seen: set[bytes] = set()  # keys of pages that the process had before, or that were claimed or found here
        self._unpaid = 0  # pages that left the queue, and wait for credits
        self._more = asyncio.Event()  # set: it is time to claim and to reserve
        self._stock = STOCK
        self._finished, self._counted_from = 0, time.monotonic()  # pages since then
        self._none_claimed = self._none_granted = False  # by the last claim
        self.credits = CreditAllowance()
        self.room = max_pages - process.pages  # pages that the process may have beyond those that it has
        self.fetching = 0
        self.over = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self.over.is_set()

    @property
    def at_hand(self) -> int:
        """How many pages are claimed, and not yet fetched."""
        return self._pages.qsize() + self._unpaid

    @property
    def _low(self) -> int:
        """How many pages are at hand when it is time for more."""
        return self._stock // 2

    @property
    def _credits_are_low(self) -> bool:
        return self.credits.left < self._price * RESERVED_PAGES // 2

    @property
    def _is_low(self) -> bool:
        return self.at_hand < self._low or self._credits_are_low

    @property
    def is_idle(self) -> bool:
        """Whether no page is under way, and none is at hand."""
        return not (self.fetching or self.at_hand)

    async def take(self) -> ClaimedPage | None:
        """Takes the next page, which is paid for; None when the turn is over."""
        self._claim_when_low()
        page = await self._pages.get()
        if page is None:
            self._pages.put_nowait(None)  # for other fetchers, which wait, too
            return None
        self._unpaid += 1
        while not (self.closed or self.credits.take(self._price)):
            self._claim_when_low()
            self.close_if_over()
            await self.credits.wait()
        self._unpaid -= 1
        if self.closed:
            self._pages.put_nowait(page)
            return None
        self.fetching += 1
        return page

    def take_pages(self, rules: Collection[int]) -> list[ClaimedPage]:
        """Takes the pages of some rules that are at hand, and are not to be begun."""
        pages = [self._pages.get_nowait() for _ in range(self._pages.qsize())]
        for page in pages:
            if page is None or page.rule not in rules:
                self._pages.put_nowait(page)
        return [page for page in pages if page is not None and page.rule in rules]

    def take_unbegun(self) -> list[ClaimedPage]:
        """Takes the pages at hand once the turn is over: others may have them."""
        pages = [page for page in (self._pages.get_nowait() for _ in range(self._pages.qsize())) if page]
        self._pages.put_nowait(None)
        return pages

    def finish_page(self, outcome: PageOutcome) -> None:
        """Gives back what a page did not cost, and queues pages that it led to, while there is room for them.

        Removes pages from `outcome.found` that the slice knows already.
        """
        self.fetching -= 1
        self._finished += 1
        self.credits.give(self._price + outcome.extra - outcome.cost)
        fresh = [found for found in outcome.found if found.page.key not in self._seen]
        for found in fresh:
            self._seen.add(found.page.key)
            self.room -= 1
            found.mine = self.room >= 0 and self._pages.qsize() < self._stock and not self.closed
            if found.mine:
                self._pages.put_nowait(found.page)
        outcome.found = fresh
        self.close_if_over()

    async def run(self, all_written: Callable[[], bool]) -> None:
        """Claims pages and reserves credits whenever they run low, until the turn is over. Raises `SliceLost`."""
        self._seen |= await sync_to_async(page_table.known_keys)(process=self._process, most=KNOWN_MAX)
        while not self.closed:
            if not self._is_low:
                self._more.clear()
                await self._more.wait()
                continue
            # Pages that other workers lost may be why those died, so they are claimed with nothing else at stake. When
            # such a claim finds nothing either, nothing is left for this slice.
            alone = self.is_idle and all_written()
            self._adapt_stock()
            pages, granted = await sync_to_async(self._claim)(alone)
            self._none_granted = granted == 0
            self.credits.give(granted or 0)
            for page in pages:
                self._seen.add(page.key)
                self._pages.put_nowait(page)
            self._none_claimed = alone and not pages
            self.close_if_over()
            self._more.clear()
            if not (pages or granted):
                await asyncio.sleep(CLAIM_SECONDS)
            await self._more.wait()

    def _claim(self, alone: bool) -> tuple[list[ClaimedPage], int | None]:
        """Claims pages; returns them, and how many credits were reserved, None where those at hand suffice."""
        granted = None
        if self._credits_are_low:
            granted = slices.reserve(slice=self._slice, wanted=self._price * RESERVED_PAGES)
        if self.at_hand >= self._low:
            return [], granted
        return page_table.claim_pages(slice=self._slice, limit=self._stock, alone=alone), granted

    def _adapt_stock(self) -> None:
        """Has as many pages at hand as are fetched while others are claimed behind a batch that is being written."""
        if self._finished < self._low:
            return  # too few to tell how fast they come
        now = time.monotonic()
        speed = self._finished / max(now - self._counted_from, 0.001)
        self._stock = int(min(max(speed * STOCK_SECONDS, STOCK), STOCK_MAX))
        self._finished, self._counted_from = 0, now

    def _claim_when_low(self) -> None:
        if self._is_low:
            self._more.set()

    def claim_when_empty(self) -> None:
        """Claims pages now, if none is at hand."""
        if not self.at_hand:
            self._more.set()

    @property
    def out_of_credits(self) -> bool:
        """Whether no credits are left for a page, and none could be reserved."""
        return self._none_granted and self.credits.left < self._price

    def close_if_over(self) -> None:
        """Closes when no page is under way that could lead to more, and no more pages, or no credits, are to be had."""
        if not self.fetching and (self.out_of_credits if self.at_hand else self._none_claimed):
            self.close()

    def close(self) -> None:
        """Ends the turn: pages under way are still finished, others are not begun."""
        if not self.closed:
            self.over.set()
            self._pages.put_nowait(None)
            self.credits.wake()
