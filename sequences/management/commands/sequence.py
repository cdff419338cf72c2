"""`manage.py sequence`: for authors of sequences, without a hub that runs."""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.live import Live

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import StepRecord
from sequences.domain.imports import FORMATS, guess_format, import_source
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.steps import SequenceProgram
from sequences.exchange_threads import ExchangeThreads
from sequences.folder_files import FolderFiles
from sequences.http_client import HttpClient
from sequences.in_process_client import InProcessClient
from sequences.services.dry_runs import dry_run
from sequences.services.run_context import run_context
from sequences.services.sequence_execution import configured_limits
from sequences.services.sequence_runs import KIND
from sequences.services.step_recorder import StepRecorder
from sequences.services.stored_sequences import Library
from sequences.step_tree import StepTree, step_label
from taskhub.accounts.models import User
from taskhub.errors import Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.lenient_json import decode_text
from taskhub.runs.models import Run

UNUSABLE, INTERRUPTED = 2, 130
Value = TypeVar("Value")


class Command(BaseCommand):
    help = "Checks, tries or runs a sequence here. Exits with 0; 1 for one that is wrong or stopped; 2 for wrong usage."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        validate = verbs.add_parser("validate", help="Names every fault with its place.")
        run = verbs.add_parser("run", help="Carries the sequence out in this process, and shows its steps.")
        dry_run = verbs.add_parser("dry-run", help="Tells what the sequence would send, as JSON; sends nothing.")
        for verb in (validate, run, dry_run):
            verb.add_argument("file", help="JSON, comments and trailing commas allowed; - is the standard input")
        for verb in (run, dry_run):
            verb.add_argument("--as", dest="email", help="the user whose sequence it is; without it, it is nobody's")
        imports = verbs.add_parser(
            "import", help="Prints the sequence that a collection of Postman, a HAR or curl commands make."
        )
        imports.add_argument("file", help="- is the standard input")
        imports.add_argument("--format", choices=[*FORMATS], help="without it, what the file looks like")
        dry_run.add_argument("--answers", help="a file with answers by the paths of steps; without it, all are empty")
        run.add_argument("--files", help="the folder for answers that are kept as files; without it, a temporary one")
        run.add_argument(
            "--json", action="store_true", help="print the result to the standard output, the steps beside"
        )

    def handle(self, *, verb: str, file: str, email: str = "", answers: str = "", **options: Any) -> None:
        if verb == "import":
            self._import(file, options["format"])
            return
        sequence = _read(file)
        program = _usable(file, lambda: parse(sequence))
        if verb == "validate":
            self.stdout.write(f"{file}: valid, {sum(1 for _ in program.walk())} requests")
            return
        if verb == "dry-run":
            given, owner = _read(answers) if answers else None, _user(email)
            report = _usable(answers, lambda: dry_run(owner=owner, sequence=sequence, answers=given))
            self.stdout.write(_pretty(report))
            sys.exit(1 if report["stopped"] else 0)
        row = Run(kind=KIND, owner=_user(email), arguments=sequence, attempt=1)  # never saved
        sys.exit(self._run(program, file, row, **options))

    def _import(self, file: str, format_: str | None) -> None:
        """Prints the sequence to the standard output, its warnings beside."""
        text = _usable(file, lambda: decode_text(_content(file), ""))
        imported = _usable(file, lambda: import_source(format_ or guess_format(text), text))
        self.stdout.write(_pretty(imported["sequence"]))
        for warning in imported["warnings"]:
            self.stderr.write(f"{file}: {_with_place(warning)}")

    def _run(self, program: SequenceProgram, file: str, row: Run, *, json: bool, files: str | None, **_: Any) -> int:
        console = Console(stderr=json, highlight=False)
        recorder = StepRecorder(row, row.arguments)
        began, display = time.monotonic(), StepDisplay(console, file, recorder)
        limits, store = configured_limits(), FolderFiles(Path(files) if files else None)
        with HttpClient(lambda: run.remaining, store) as client, ExchangeThreads(limits.at_once) as threads:
            run = Interpreter(
                program,
                send=client.send,
                jac=InProcessClient(row.owner if row.owner_id else None).call,
                clock=time.monotonic,
                record=display.record,
                limits=limits,
                performer=threads,
                context=run_context(row, recorder),
                jitter=random.random,
                load=Library(row.owner_id).load,
            )
            code, outcome = 0, "finished"
            with display.live:
                try:
                    run.run()
                except SequenceStopped as stop:
                    code, outcome = 1, f"stopped: {recorder.without_secrets(str(stop))}"
                except KeyboardInterrupt:
                    code, outcome = INTERRUPTED, "interrupted"
        console.print(f"{outcome}; {run.steps} steps in {time.monotonic() - began:.2f} s", markup=False, soft_wrap=True)
        if json:
            self.stdout.write(_pretty(recorder.shown_result(run.persistence, run.sensitive)))
        return code


class StepDisplay:
    """Shows steps as they finish: a live tree in a terminal, a line each elsewhere."""

    def __init__(self, console: Console, title: str, recorder: StepRecorder) -> None:
        self._console, self._recorder = console, recorder
        self._tree = StepTree(title, recorder.without_secrets)
        self.live = Live(self._tree, console=console, refresh_per_second=8, transient=not console.is_terminal)

    def record(self, record: StepRecord) -> None:
        self._recorder.note_secrets(record)
        if self._console.is_terminal:
            self._tree.add(record)
        else:
            self._console.print(step_label(record, record.path, self._recorder.without_secrets), soft_wrap=True)


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error}", returncode=UNUSABLE) from None


def _read(file: str) -> Any:
    """The JSON in a file."""
    text = _content(file)
    return _usable(file, lambda: parse_jsonc(text))


def _usable(file: str, use: Callable[[], Value]) -> Value:
    """What is made of a file's content, each fault of which is told with its place."""
    try:
        return use()
    except Rejected as refusal:
        raise CommandError("\n".join(f"{file}: {_with_place(error)}" for error in refusal.errors)) from None


def _user(email: str | None) -> User | None:
    if not email:
        return None
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {email}.", returncode=UNUSABLE)
    return user


def _with_place(error: dict[str, Any]) -> str:
    if "line" in error:
        return f"line {error['line']}, column {error['column']}: {error['detail']}"
    return f"{error['path'] or 'the whole'}: {error['detail']}"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
