"""A program of its own that writes one file to a storage: `python -m extraction.delivery.upload_program`.

On its standard input comes a line of JSON, `{scheme, options, path, type, size}`, and then the file. It answers with a
line of JSON: `{}` or `{"error": words, "again": whether it may succeed later}`. Its calls go where HTTPS_PROXY says,
which is the gate, and it knows no credentials but those that it is sent.
"""

import json
import sys
from typing import IO, Any

import opendal

PIECE = 4 * 1024 * 1024
WHOLE_MAX = 150 * 1024 * 1024  # for storages that take a file in one piece


def write(asked: dict[str, Any], file: IO[bytes]) -> None:
    """Raises `ValueError`, and opendal's errors."""
    operator = opendal.Operator(asked["scheme"], **asked["options"])
    path, size = asked["path"], asked["size"]
    if operator.capability().write_can_multi:
        with operator.open(path, "wb", content_type=asked["type"]) as sink:
            while piece := file.read(PIECE):
                sink.write(piece)
    elif size > WHOLE_MAX:
        raise ValueError(f"It takes files of at most {WHOLE_MAX} bytes; this one has {size}.")
    else:
        operator.write(path, file.read())
    there = operator.stat(path).content_length
    if there != size:
        raise ValueError(f"{there} of {size} bytes arrived.")


def main() -> None:
    answer: dict[str, Any] = {}
    try:
        write(json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer)
    except Exception as error:
        words = str(error)
        answer = {"error": words.partition("\n")[0][:500], "again": "(temporary)" in words or "(persistent)" in words}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
