"""A sequence while it is written: the texts of its editors, their faults, and the values that they stand for."""

import json
from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from sequences.models import SequenceVersion
from sequences.services.stored_sequences import check_sequence, sequence_with_inputs, wrong_inputs
from taskhub.console.json_editor import EditorFault, JsonEditor, faults_of, sent_text
from taskhub.errors import Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc

STORED = ("sequence", "inputs", "outputs")  # what is kept
EDITORS = {
    "sequence": ("Sequence", "JSON; comments and trailing commas may stay."),
    "inputs": (
        "What a run is given",
        "A JSON Schema of an object, which stands in #.inputs. Empty: nothing is checked.",
    ),
    "outputs": ("What a run gives", 'Expressions by name, such as {"said": "#.greeting"}. Empty: its persistence.'),
    "given": ("Inputs", "For the dry run and the run beside."),
    "answers": ("Answers", 'For the dry run, by the paths of steps: {"requests[0]": {"status": 200, "body": {}}}.'),
}
EMPTY = '{\n  "requests": [\n    {"method": "GET", "url": "", "save_to": "answer"}\n  ]\n}'


class SequenceForm:
    """The form of a sequence. `version` is the number of the one that it began with, 0 where there was none.

    `name` is empty for one that has no name yet; `is_stored` says that the name is not to be changed.
    """

    def __init__(self, texts: Mapping[str, str], *, name: str, description: str, version: int, is_stored: bool) -> None:
        self.texts = {field: texts.get(field, "") for field in EDITORS}
        self.name, self.description, self.version, self.is_stored = name, description, version, is_stored
        self.faults: dict[str, list[EditorFault]] = {field: [] for field in EDITORS}
        self.name_fault = ""

    @classmethod
    def sent(cls, sent: Mapping[str, Any], stored_name: str = "") -> "SequenceForm":
        """What a browser sent, of a stored sequence or of one that has no name yet."""
        version = str(sent.get("version", ""))
        return cls(
            {field: sent_text(sent, field) for field in EDITORS},
            name=stored_name or str(sent.get("name", "")).strip(),
            description=sent_text(sent, "description").strip(),
            version=int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0,
            is_stored=bool(stored_name),
        )

    @classmethod
    def stored(cls, shown: SequenceVersion, newest: int) -> "SequenceForm":
        """A version of a stored sequence, to be changed into the one after the newest."""
        texts = {field: written(getattr(shown, field)) for field in STORED} | {"sequence": text_of(shown)}
        return cls(texts, name=shown.stored.name, description=shown.description, version=newest, is_stored=True)

    @classmethod
    def new(cls, text: str = EMPTY) -> "SequenceForm":
        return cls({"sequence": text}, name="", description="", version=0, is_stored=False)

    @property
    def is_faulty(self) -> bool:
        return bool(self.name_fault) or any(self.faults.values())

    def editor(self, field: str) -> JsonEditor:
        label, help_text = EDITORS[field]
        return JsonEditor(
            field,
            label,
            self.texts[field],
            help_text,
            check=reverse("console:sequences-check") if field in STORED else "",
            schema="/sequences/schema.json" if field == "sequence" else "",
            faults=self.faults[field],
            rows_min=16 if field == "sequence" else 4,
        )

    @property
    def editors(self) -> dict[str, JsonEditor]:
        return {field: self.editor(field) for field in EDITORS}

    def check(self, user: Any) -> dict[str, Any]:
        """The values of what is kept; what is wrong with them is in `faults` then."""
        values = {field: self._read(field) for field in STORED}
        if self.faults["sequence"]:  # what else is wrong is told all the same
            values["sequence"] = {"requests": []}
        try:
            check_sequence(user=user, name=self.name, **values)
        except Problem as problem:
            for field in STORED:
                self.faults[field] = self.faults[field] or faults_of(self.texts[field], problem, field)
        return values

    def trial(self, user: Any) -> dict[str, Any]:
        """The sequence as it would run with the inputs that are given; what is wrong is in `faults` then."""
        values, given = self.check(user), self._read("given")
        if self.is_faulty or (given is None and values["inputs"] is None):
            return dict(values["sequence"])
        if reason := wrong_inputs(values["inputs"], given or {}):
            self.add_faults("given", Rejected(errors=[{"path": "", "detail": reason}]))
        return sequence_with_inputs(values["sequence"], given or {})

    def answers(self) -> Any:
        """The answers of a dry run; what is no JSON of them is in `faults` then."""
        return self._read("answers")

    def add_faults(self, field: str, problem: Problem, within: str = "") -> None:
        self.faults[field] = faults_of(self.texts[field], problem, within)

    def _read(self, field: str) -> Any:
        """The object in an editor; None where it is empty, or is none, which is a fault then."""
        text = self.texts[field]
        if not text.strip() and field != "sequence":
            return None
        try:
            value = parse_jsonc(text)
            if not isinstance(value, dict):
                raise Rejected(errors=[{"path": "", "detail": "This is an object in braces."}])
        except Rejected as refusal:
            self.add_faults(field, refusal)
            return None
        return value


def text_of(shown: SequenceVersion) -> str:
    """A stored sequence as its author wrote it, or as JSON where that is not known."""
    return shown.written or written(shown.sequence)


def written(value: Any) -> str:
    """A value as an editor shows it, which nobody has written by hand."""
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
