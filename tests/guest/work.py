# SPDX-License-Identifier: Apache-2.0
"""The agent of a session: runs the commands of a file, one shell each, in one folder, and writes down how each ended.

    work.py COMMANDS FOLDER RESULTS
"""

import json
import re
import subprocess
import sys
import time

SECONDS_EACH = 120


def commands(text):
    """What follows `$ ` at the beginning of a line, up to the next."""
    return [command.rstrip("\n") for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def main():
    source, folder, results = sys.argv[1:]
    with open(source) as file, open(results, "w") as out:
        for command in commands(file.read()):
            began = time.monotonic()
            try:
                done = subprocess.run(["/bin/bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      errors="replace", timeout=SECONDS_EACH, check=False)  # fmt: skip
                status, said = done.returncode, (done.stdout + done.stderr)[-300:]
            except subprocess.TimeoutExpired:
                status, said = 124, f"no end after {SECONDS_EACH} s"
            out.write(json.dumps({"command": command, "status": status, "said": said, "seconds": round(time.monotonic() - began, 2)}) + "\n")


if __name__ == "__main__":
    main()
