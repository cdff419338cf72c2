"""The header `traceparent`, as W3C Trace Context has it."""

import pytest

from taskhub.telemetry.trace_context import accepted_traceparent, current_trace_id, current_traceparent, within_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        (WHOLE, WHOLE),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01", WHOLE),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", WHOLE),
        (f"cc-{TRACE}-{SPAN}-01.what", ""),
        (f"{WHOLE}-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{TRACE}-{SPAN}-1", ""),
        (f"00-{TRACE}-{SPAN}-0g", ""),
        (f"00{TRACE}{SPAN}01", ""),
        (f"{WHOLE},{WHOLE}", ""),
        (f" {WHOLE}", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
    ids=lambda text: text[:60],
)
def test_what_is_accepted(sent: str, accepted: str) -> None:
    assert accepted_traceparent(sent) == accepted


def test_a_trace_goes_on_in_its_block_and_no_longer() -> None:
    assert current_traceparent() == current_trace_id() == ""
    with within_trace(WHOLE):
        assert (current_traceparent(), current_trace_id()) == (WHOLE, TRACE)
        with within_trace(""):
            assert current_trace_id() == ""
    assert current_traceparent() == ""
