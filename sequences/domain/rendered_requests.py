"""Renders a step's request: everything that is sent, and the names under which it will be saved."""

import base64
import re
from dataclasses import dataclass
from typing import Any

from sequences.domain.address_templates import address_fault
from sequences.domain.blocks import Block
from sequences.domain.bodies import content_type, mismatch, part_fault
from sequences.domain.exchange import SequenceLimits, StepRecord, StepRequest
from sequences.domain.functions import encode_query
from sequences.domain.json_values import kind, weigh
from sequences.domain.scope import VISITS_MAX
from sequences.domain.steps import JAC, METHODS, RequestPlan, Step
from sequences.domain.templates import Template
from sequences.domain.validation_errors import StepFailure

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_CREDENTIALS = frozenset({"authorization", "cookie", "x-api-key"})


@dataclass(slots=True)
class Outgoing:
    """A request that waits for its answer. `saved_name` is where the request itself is saved, with that size."""

    record: StepRecord
    request: StepRequest
    master: str | None
    started: float
    saved_name: str | None = None
    saved_size: int = 0


def render_request(step: Step, block: Block, record: StepRecord, limits: SequenceLimits) -> Outgoing:
    """Its names are rendered first: a step sees only what was there before it. Raises `StepFailure`."""
    reset_allowances(block, limits)
    block.save_to = render_name(step.save_to, block)
    saved_name = render_name(step.save_req_to, block)
    record.method = record.method or _render_method(step.method, block)
    if record.method == JAC:
        request = StepRequest(JAC, step.call.render(block), {}, step.body.render(block))
        master = step.master.render(block)
        _check_call(request, master)
    else:
        request = StepRequest(
            record.method, step.address.render(block), step.headers.render(block), step.body.render(block)
        )
        master = None
        if step.plan is not None:
            _complete(request, step.plan, block)
    weigh([request.method, request.address, request.headers, request.body], limits.request, "The request")
    return Outgoing(record, request, master, 0.0, saved_name)


def reset_allowances(block: Block, limits: SequenceLimits) -> None:
    """Lets the expressions of the step look at, and put together, as much as those of any step."""
    block.text_room, block.visits = limits.request, VISITS_MAX


def render_name(template: Template | None, block: Block) -> str | None:
    if template is None:
        return None
    name: str = _NOT_IN_NAMES.sub("_", template.render(block))
    if not name:
        raise StepFailure("The name to save under is empty.")
    return name


def saved_request(request: StepRequest) -> dict[str, Any]:
    """What `save_req_to` saves. It can be read in both spellings, whichever its sequence is written in."""
    address, headers = request.address, request.headers
    return {
        "method": request.method,
        "url": address,
        "api": address,
        "headers": headers,
        "header": headers,
        "body": request.body,
    }


def same_origin(one: str, other: str) -> bool:
    first, second = _ORIGIN.match(one), _ORIGIN.match(other)
    return first is not None and second is not None and first[0].lower() == second[0].lower()


def _render_method(template: Template, block: Block) -> str:
    method = template.render(block)
    if method.upper() not in (*METHODS, JAC):
        raise StepFailure(f"The method would be {method[:40]!r}; there are {', '.join((*METHODS, JAC))}.")
    return str(method.upper())


def _check_call(request: StepRequest, master: Any) -> None:
    if request.body is not None and not isinstance(request.body, dict):
        raise StepFailure(f"The body of a JAC request is an object, not {kind(request.body)}.")
    if master is not None and not isinstance(master, str):
        raise StepFailure(f"A master is a user's id, not {kind(master)}.")


def _complete(request: StepRequest, plan: RequestPlan, block: Block) -> None:
    """Adds what the request is beyond the documents' keys."""
    request.options = plan.options
    if plan.auth is not None:
        request.headers = {**request.headers, "Authorization": _authorization(plan.auth.render(block), block)}
    _check_body(request)
    if plan.query is not None:
        request.address = _with_query(request.address, plan.query.render(block))
    if plan.paginate is not None:
        _turn_page(request, plan, block)
    if fault := address_fault(request.address):
        raise StepFailure(fault)


def _authorization(auth: Any, block: Block) -> str:
    """The value of the header (RFC 7617, RFC 6750)."""
    if "bearer" in auth:
        value = f"Bearer {_credential(auth['bearer'])}"
    else:
        pair = auth["basic"]
        plain = f"{_credential(pair['username'])}:{_credential(pair['password'])}"
        encoded = base64.b64encode(plain.encode()).decode()
        if block.context.holds_secret(plain):
            block.context.hide(encoded)
        value = f"Basic {encoded}"
    return value


def _credential(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise StepFailure("Credentials are text on one line.")
    return value


def _check_body(request: StepRequest) -> None:
    format_, body = request.options.format, request.body
    if format_ in ("form", "multipart"):
        if not isinstance(body, dict):
            raise StepFailure(f"The fields of a form are an object, not {kind(body)}.")
        for part in body.values() if format_ == "multipart" else ():
            for one in part if isinstance(part, list) else [part]:
                if fault := part_fault(one):
                    raise StepFailure(fault)
    if fault := mismatch(format_, content_type(request.headers), body):
        raise StepFailure(fault)


def _with_query(address: str, query: Any) -> str:
    if query is None:
        return address
    if not isinstance(query, dict):
        raise StepFailure(f"A query is an object, not {kind(query)}.")
    text = encode_query(query)
    if not text:
        return address
    address, hash_, fragment = address.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{text}{hash_}{fragment}"


def _turn_page(request: StepRequest, plan: RequestPlan, block: Block) -> None:
    """Lets the request ask for the page that is next. Credentials go to no other origin than that of the first."""
    assert plan.paginate
    progress = block.progress
    if plan.paginate.param:
        number = plan.paginate.start if progress is None or progress.next_page is None else progress.next_page
        request.address = _with_query(request.address, {plan.paginate.param: number})
    elif progress is not None and isinstance(progress.next_page, str):
        if not same_origin(request.address, progress.next_page):
            headers = request.headers.items()
            request.headers = {name: value for name, value in headers if name.lower() not in _CREDENTIALS}
        request.address = progress.next_page
