"""Credits: an append-only ledger, and a balance that is the sum of it and never below zero.

A slice reserves credits before it asks for pages, and what it did not spend is refunded when it ends.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from extraction.models import CreditAccount, CreditEntry, Process, Slice
from taskhub.audit.services import record_change
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
    """Adds to a balance. Call `suspension.resume_waiting` after the commit: processes that wait for credits resume.

    A negative amount takes back, to zero at most. Raises `Rejected`.
    """
    if not -AMOUNT_MAX <= amount <= AMOUNT_MAX or not amount:
        raise Rejected("The amount is no number of credits.", errors=[_amount_fault("Must be a whole number, not 0.")])
    credit_account(owner_id)
    with transaction.atomic():
        account = CreditAccount.objects.select_for_update().get(pk=owner_id)
        if account.balance + amount < 0:
            raise Rejected(
                "The balance would be below zero.", errors=[_amount_fault(f"The balance is {account.balance}.")]
            )
        record_change("top up", "credits", owner_id, owner_id=owner_id, after={"amount": amount, "note": note})
        return _add_entry(owner_id, CreditEntry.Kind.TOP_UP, amount, by=by, note=note)


def _amount_fault(detail: str) -> dict[str, str]:
    return {"pointer": "/amount", "detail": detail}


def reserve(*, slice: Slice, process: Process, wanted: int) -> int:
    """Reserves up to `wanted` credits for a slice, in the caller's transaction; returns how many.

    They are fewer where the balance, or what the process may cost, allows no more.
    """
    credit_account(process.owner_id)
    account = CreditAccount.objects.select_for_update().get(pk=process.owner_id)
    granted = min(wanted, account.balance, _most_reservable(process))
    if granted <= 0:
        return 0
    _add_entry(process.owner_id, CreditEntry.Kind.RESERVE, -granted, process=process.id)
    Slice.objects.filter(pk=slice.pk).update(reserved=F("reserved") + granted)
    return granted


def _most_reservable(process: Process) -> int:
    """How many credits the process may still reserve under its cap."""
    if process.max_credits is None:
        return AMOUNT_MAX
    held = Slice.objects.filter(process=process).aggregate(held=Sum(F("reserved") - F("spent")))["held"] or 0
    return max(0, process.max_credits - process.cost - held)


def refund(*, slice: Slice, process: Process) -> int:
    """Refunds what a slice, whose row is locked, did not spend, in the caller's transaction; returns how much."""
    unspent = slice.reserved - slice.spent
    if unspent > 0:
        _add_entry(process.owner_id, CreditEntry.Kind.SETTLE, unspent, process=process.id)
    return unspent


def _add_entry(
    owner_id: UUID, kind: str, amount: int, *, process: str = "", by: Any = None, note: str = ""
) -> CreditAccount:
    """Adds a line to the ledger and its amount to the balance; the account as it is then."""
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
    """The limits of an account; those that it leaves empty are the settings'."""

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
