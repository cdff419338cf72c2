"""A program of its own that writes one file to a storage: `python -m extraction.delivery.upload_program`.

On its standard input comes a line of JSON, `{scheme, options, path, type, size, parent}`, and then the file. It answers
with a line of JSON: `{}`, or `{"error": ..., "again": ...}`, where `again` says whether it may succeed later. Its calls
go through the proxy that HTTPS_PROXY names, which is the gate, and it has no credentials but those in the job. It ends
with its parent, the process with the pid that the job names.
"""

import json
import os
import sys
from typing import IO, Any

from taskhub.descendants import die_with_parent
from taskhub.errors import Problem

PIECE = 4 * 1024 * 1024
WHOLE_MAX = 150 * 1024 * 1024  # for storages that take a file in one piece
SFTP = "sftp"


def write(job: dict[str, Any], file: IO[bytes]) -> None:
    """Writes the file to the storage that the job names. Raises `Problem`, `ValueError`, and opendal's errors."""
    path, size = job["path"], job["size"]
    if job["scheme"] == SFTP:  # each library takes time to load, and one is needed
        from extraction.delivery.sftp import upload

        upload(job["options"], path, file, os.environ["HTTPS_PROXY"])
        return
    import opendal

    operator = opendal.Operator(job["scheme"], **job["options"])
    if operator.capability().write_can_multi:
        with operator.open(path, "wb", content_type=job["type"]) as sink:
            while piece := file.read(PIECE):
                sink.write(piece)
    elif size > WHOLE_MAX:
        raise ValueError(f"It takes files of at most {WHOLE_MAX} bytes; this one has {size}.")
    else:
        operator.write(path, file.read())
    stored_size = operator.stat(path).content_length
    if stored_size != size:
        raise ValueError(f"{stored_size} of {size} bytes arrived.")


def main() -> None:
    answer: dict[str, Any] = {}
    try:
        job = json.loads(sys.stdin.buffer.readline())
        die_with_parent(job["parent"])
        write(job, sys.stdin.buffer)
    except Problem as problem:
        answer = {"error": problem.detail, "again": not problem.permanent}
    except Exception as error:
        text = str(error)
        answer = {"error": text.partition("\n")[0][:500], "again": "(temporary)" in text or "(persistent)" in text}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
