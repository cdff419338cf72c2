"""Starting programs as a user who is not root, whoever runs the tests."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "nobody"
# The securebit lets access(2), by which initdb looks for its programs, count the capability.
READS = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--securebits=+no_setuid_fixup"]


def as_user(argv: list[str]) -> list[str]:
    """The command as an ordinary user's: as it is, or when root runs the tests, as nobody's.

    Where nobody cannot reach this interpreter (in root's own folder, say), it may read what root could, and no more:
    it still owns nothing and is not root.
    """
    if os.geteuid() != 0:
        return argv
    reads = [] if _reaches(sys.executable) else READS
    entry = pwd.getpwnam(NAME)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", *reads, "--", *argv]


def give(folder: Path) -> None:
    """Make the folder that user's own."""
    if os.geteuid() == 0:
        shutil.chown(folder, NAME, pwd.getpwnam(NAME).pw_gid)


def _reaches(program: str) -> bool:
    entry = pwd.getpwnam(NAME)
    test = ["/bin/sh", "-c", '[ -x "$1" ]', "sh", program]  # not where links lead: those must be read on the way
    return subprocess.run(test, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[]).returncode == 0
