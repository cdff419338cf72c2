"""Credits: an append-only ledger, and a balance that is the sum of it and never below zero.

A worker reserves credits before it asks for pages, and what it did not spend is given back when its turn is over.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from extraction.models import CreditAccount, CreditEntry, Process, Slice
from taskhub.errors import Rejected

AMOUNT_MAX = 10**12


def credit_account(owner_id: UUID) -> CreditAccount:
    """The user's account; the first call makes it, with the credits of the settings."""
    account = CreditAccount.objects.filter(pk=owner_id).first()
    if account is None:
        with transaction.atomic():
            account, created = CreditAccount.objects.get_or_create(pk=owner_id)
            if created:
                account = _add_entry(owner_id, CreditEntry.Kind.GRANT, settings.EXTRACTION_CREDITS, note="at the start")
    return account


def top_up(*, owner_id: UUID, amount: int, by: Any = None, note: str = "") -> CreditAccount:
    """Adds to a balance. What waits for credits goes on: call `resuming.resume_waiting` after the commit.

    A negative amount takes back, to zero at most. Raises `Rejected`.
    """
    if not -AMOUNT_MAX <= amount <= AMOUNT_MAX or not amount:
        raise Rejected("The amount is no number of credits.", errors=[_place("Must be a whole number, not 0.")])
    credit_account(owner_id)
    with transaction.atomic():
        account = CreditAccount.objects.select_for_update().get(pk=owner_id)
        if account.balance + amount < 0:
            raise Rejected("The balance would be below zero.", errors=[_place(f"The balance is {account.balance}.")])
        return _add_entry(owner_id, CreditEntry.Kind.TOP_UP, amount, by=by, note=note)


def _place(detail: str) -> dict[str, str]:
    return {"pointer": "/amount", "detail": detail}


def reserve(*, slice: Slice, process: Process, wanted: int) -> int:
    """Takes up to `wanted` credits for a slice, in the caller's transaction; how many it got.

    Less where the balance, or what the process may cost, allows no more.
    """
    credit_account(process.owner_id)
    account = CreditAccount.objects.select_for_update().get(pk=process.owner_id)
    granted = min(wanted, account.balance, _allowed(process))
    if granted <= 0:
        return 0
    _add_entry(process.owner_id, CreditEntry.Kind.RESERVE, -granted, process=process.id)
    Slice.objects.filter(pk=slice.pk).update(reserved=F("reserved") + granted)
    return granted


def _allowed(process: Process) -> int:
    """What the process may still reserve."""
    if process.max_credits is None:
        return AMOUNT_MAX
    held = Slice.objects.filter(process=process).aggregate(held=Sum(F("reserved") - F("spent")))["held"] or 0
    return max(0, process.max_credits - process.cost - held)


def refund(*, slice: Slice, process: Process) -> int:
    """Gives back what a slice, whose row is locked, did not spend, in the caller's transaction; how much that was."""
    rest = slice.reserved - slice.spent
    if rest > 0:
        _add_entry(process.owner_id, CreditEntry.Kind.SETTLE, rest, process=process.id)
    return rest


def _add_entry(
    owner_id: UUID, kind: str, amount: int, *, process: str = "", by: Any = None, note: str = ""
) -> CreditAccount:
    CreditAccount.objects.filter(pk=owner_id).update(balance=F("balance") + amount)
    account = CreditAccount.objects.get(pk=owner_id)
    CreditEntry.objects.create(
        account=account, kind=kind, amount=amount, balance=account.balance, process=process, by=by, note=note
    )
    return account


def page_price(*, chrome: bool = False) -> int:
    """Credits for one page, as it comes or rendered."""
    return settings.EXTRACTION_PRICE_CHROME if chrome else settings.EXTRACTION_PRICE_BASE


@dataclass(frozen=True)
class AccountLimits:
    pages: int
    depth: int
    seconds: int
    page_bytes: int

    @classmethod
    def of(cls, account: CreditAccount) -> "AccountLimits":
        return cls(
            pages=account.max_pages or settings.EXTRACTION_MAX_PAGES,
            depth=account.max_depth or settings.EXTRACTION_MAX_DEPTH,
            seconds=account.max_seconds or settings.EXTRACTION_MAX_SECONDS,
            page_bytes=account.max_page_bytes or settings.EXTRACTION_PAGE_MAX_BYTES,
        )
