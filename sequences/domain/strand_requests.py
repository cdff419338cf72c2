"""What a strand does with a request: sends it, and decides what comes of its answer."""

from typing import Any

from sequences.domain.blocks import Block, Phase
from sequences.domain.errors import BudgetExceeded
from sequences.domain.exchange import SendFailed, StepResponse
from sequences.domain.rendered_requests import Outgoing, render_request, reset_allowances, saved_request
from sequences.domain.response_checks import answer_value, check_response, is_awaited, may_retry, take_page
from sequences.domain.steps import RequestPlan, Step
from sequences.domain.strand_records import RecordedStrand, StrandPause
from sequences.domain.validation_errors import StepFailure


class RequestStrand(RecordedStrand):
    __slots__ = ()

    def _pause(self, seconds: float) -> None:
        """Raises `BudgetExceeded` where there is not so much time left: nobody need wait for that."""
        limits, budget = self.environment.limits, self.environment.budget
        if seconds > budget.remaining:
            raise BudgetExceeded(f"The sequence takes longer than {limits.seconds:g} seconds.")
        self.waiting = StrandPause(seconds, self.environment.clock())

    def _send(self, step: Step, block: Block) -> bool:
        started = self.environment.clock()
        record = self._new_record(block)
        try:
            outgoing = render_request(step, block, record, self.environment.limits)
            if outgoing.saved_name is not None:
                outgoing.saved_size = self.persistence.measure(outgoing.saved_name, saved_request(outgoing.request))
        except StepFailure as error:
            self._end_in_error(block, record, error, started)
            return False
        record.sent = outgoing.request
        outgoing.started = started
        self.waiting = outgoing
        return True

    def _take_answer(self, block: Block, outgoing: Outgoing, outcome: Any) -> None:
        step, record, before = block.step, outgoing.record, block.current
        if outgoing.saved_name is not None:
            saved = saved_request(outgoing.request)
            self.persistence.put(outgoing.saved_name, saved, outgoing.saved_size, sensitive=step.sensitive)
        block.phase = Phase.ANSWERED
        response = outcome if isinstance(outcome, StepResponse) else None
        try:
            if response is None:
                block.answer = None
                raise outcome
            self._accept(step, block, outgoing, response)
        except (StepFailure, SendFailed) as error:
            retry = step.plan.retry if step.plan else None
            if retry and may_retry(retry, record.method, error, response, block):
                progress = block.begun()
                asked = response.retry_after if response else None
                progress.delay = retry.seconds(progress.attempt, self.environment.jitter(), asked)
                progress.attempt += 1
                block.phase = Phase.READY
                record.error = str(error)
            else:
                block.current = before  # a run that goes on from here sends the same
                self._end_in_error(block, record, error, outgoing.started)
                return
        record.duration_ms = self._milliseconds(outgoing.started)
        self._store(record)

    def _accept(self, step: Step, block: Block, outgoing: Outgoing, response: StepResponse) -> None:
        """Goes on with an answer. Raises `StepFailure` for one that is the step's error."""
        record = outgoing.record
        record.status, record.value, record.note = response.status, response.value, response.note
        if self.environment.keeps_answer:
            block.answer = answer_value(response, self._milliseconds(outgoing.started))
        plan = step.plan
        if plan is None:
            check_response(response, None, block)
            self._complete(step, block, response.value)
            return
        reset_allowances(block, self.environment.limits)
        check_response(response, plan.expect, block)
        if plan.until is not None and not is_awaited(plan.until, response, block):
            block.phase = Phase.READY
        elif plan.paginate is not None:
            self._take_page(step, plan, block, outgoing, response)
        else:
            self._complete(step, block, response.value)

    def _take_page(
        self, step: Step, plan: RequestPlan, block: Block, outgoing: Outgoing, response: StepResponse
    ) -> None:
        assert plan.paginate
        room = self.environment.limits.persistence
        items = take_page(plan.paginate, response, outgoing.record, outgoing.request.address, room, block)
        progress = block.begun()
        progress.attempt, progress.polls = 1, 0
        if step.loop:
            block.current = items
            progress.size = 0  # pages are not kept
            block.next_item = 0
            block.items = step.loop.items(block)
            return
        progress.pages.append(items)
        if progress.next_page is not None:
            block.phase = Phase.READY
        else:
            self._complete(step, block, [item for page in progress.pages for item in page])
