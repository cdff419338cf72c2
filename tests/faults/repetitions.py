"""Which calls of schemathesis's phase of keywords, called coverage there, would show nothing new."""

from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario

TRIED_ALONE = "the same is tried without other optional parameters"


class Repetitions:
    """What the phase of keywords tries several times of one operation, and what of it is left out.

    It breaks each optional parameter beside all others, and once more with the required ones alone. The latter says
    more: nothing else can be what is refused. An unknown parameter is sent beside each one that is known. And where
    credentials are a parameter, which `Caller` replaces, whole calls are the same.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def is_new(self, context: Any, case: schemathesis.Case) -> bool:
        if case.meta is None or not isinstance(case.meta.phase.data, CoveragePhaseData):
            return True
        what: Any = None
        if case.meta.generation.mode == GenerationMode.NEGATIVE:
            what = fault_of_parameter(case, case.meta.phase.data)
            if what == TRIED_ALONE:
                return False
        if what is None:
            headers = sorted((name, value) for name, value in case.headers.items() if name != "Authorization")
            what = (case.path_parameters, case.query, headers, case.body, case.media_type)
        key = repr((case.operation.label, case.method, what))
        if key in self.seen:
            return False
        self.seen.add(key)
        return True


def fault_of_parameter(case: schemathesis.Case, tried: CoveragePhaseData) -> Any:
    """What is wrong in the query or the headers of a call, whatever else they have; None where it is not there."""
    place = tried.parameter_location
    if place not in {ParameterLocation.QUERY, ParameterLocation.HEADER}:
        return None
    if tried.scenario == CoverageScenario.OBJECT_UNEXPECTED_PROPERTIES and tried.parameter is None:
        return place, tried.scenario
    sent = getattr(case, place.container_name)
    parameters = {one.name: one for one in getattr(case.operation, place.container_name)}
    if tried.parameter not in parameters or tried.parameter not in sent:
        return None
    optional = {name for name, one in parameters.items() if not one.is_required}
    beside_all = tried.location is not None  # the keyword that is broken; schemathesis names none where it leaves out
    # Of lists and of what is written as JSON, schemathesis breaks not all alone.
    is_plain = parameters[tried.parameter].definition.get("schema", {}).get("type", "array") != "array"
    if beside_all and is_plain and tried.parameter in optional and len(optional) > 1:
        return TRIED_ALONE
    return place, tried.parameter, sent[tried.parameter], beside_all and not is_plain
