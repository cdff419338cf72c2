"""A run kind of the tests' own."""

from taskhub.runs.run_kinds import RunKind


class ProbeKind(RunKind):
    name = "probe"
    task = "tests.probe_kind"
    queue = "walkers"
