# SPDX-License-Identifier: Apache-2.0
"""What the kernel remembers of folders, and what must make it forget."""

import os
import pathlib
import shutil
import subprocess

from sequence import environment, require, sequence, times
from sessions import Session


@sequence("moved-folders", "what was found out about a folder is not believed of what later stands in its place", 5, 11, 12, 138)
def moved_folders(suite):
    """Folders go from where reading is permitted to where it is denied, by root outside the session, right after they were read."""
    names, moves = suite.ground.names, times(suite, 60, 20)
    open_, denied = pathlib.Path(names["ws"]) / "moving", pathlib.Path(names["home"]) / ".ssh" / "moving"
    inside = Session(suite.daemon.command, "files", f"{names['bin']}/attack", suite.work / "moved.jsonl", names["ws"], environment(suite))

    def read(path, permitted, when):
        status_, out, err = inside.execute([f"{names['bin']}/attack", "read", str(path)], 20)
        if permitted:
            require(status_ == 0, f"{when}: {path} may be read and was refused: {err.decode(errors='replace')}")
        else:
            require(status_ == 1 and suite.ground.secret.encode() not in out, f"THROUGH {when}: {path} was read ({status_})")

    try:
        for number in range(moves):
            open_.mkdir()
            (open_ / "id").write_text(suite.ground.secret)
            read(open_ / "id", True, "before the move")
            os.rename(open_, denied)
            read(denied / "id", False, f"after move {number}")
            os.rename(denied, open_)
            read(open_ / "id", True, "after the move back")
            shutil.rmtree(open_)
            # The next folder may get the number and the memory of the one that is gone.
            denied.mkdir()
            (denied / "id").write_text(suite.ground.secret)
            read(denied / "id", False, f"after removal {number}")
            shutil.rmtree(denied)

        open_.mkdir()
        (open_ / "id_ed25519").write_text("mine")
        for number in range(5):
            read(open_ / "id_ed25519", True, "before the mount")
            subprocess.run(["mount", "--bind", denied.parent, open_], check=True)
            try:
                read(open_ / "id_ed25519", False, f"mount {number}")
            finally:
                subprocess.run(["umount", open_], check=True)

        # Forgotten folders: their memory is given to others while nothing is renamed, removed or mounted.
        many = pathlib.Path(names["ws"]) / "many"
        for part in range(400):
            (many / str(part)).mkdir(parents=True)
            (many / str(part) / "id_ed25519").write_text("mine")
            (denied / str(part)).mkdir(parents=True)
            (denied / str(part) / "id_ed25519").write_text(suite.ground.secret)
        for number in range(3):
            for part in range(0, 400, 4):
                read(many / str(part) / "id_ed25519", True, "before the cache is dropped")
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("2\n")
            for part in range(0, 400, 4):
                read(denied / str(part) / "id_ed25519", False, f"after the cache was dropped {number}")
    finally:
        inside.close()
        for left in (open_, denied, pathlib.Path(names["ws"]) / "many"):
            shutil.rmtree(left, ignore_errors=True)
    return f"{moves} moves, {moves} removals, 5 mounts, 3 times forgotten"
