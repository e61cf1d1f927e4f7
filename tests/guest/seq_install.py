# SPDX-License-Identifier: Apache-2.0
"""What `make install` and `make uninstall` do to a machine. Guests only: elsewhere it would be somebody's machine."""

import grp
import os
import pathlib
import subprocess

from daemon import CONTROL, PINS, Daemon
from sequence import Untried, environment, require, sequence, wait_until
from seq_protect import PIPE

PLACED = ("/usr/local/bin/lictor", "/usr/local/bin/lictord", "/usr/local/lib/systemd/system/lictord.service", "/usr/local/lib/sysusers.d/lictor.conf",
          "/usr/local/lib/tmpfiles.d/lictor.conf")  # fmt: skip
SETTINGS = ("/etc/lictor/policy.yaml", "/etc/lictor/lictord.yaml")


def call(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL, cwd="/",
                          env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})  # fmt: skip
    require(done.returncode == 0, f"`{' '.join(map(str, command))}`: status {done.returncode}: {done.stdout} {done.stderr}")
    return done.stdout + done.stderr


@sequence("install", "installed, it runs with the settings that came with it; uninstalled, nothing is left but settings and records", once=True)
def install(suite):
    scripts = pathlib.Path(suite.daemon.program).parent / "install"
    if not os.path.exists(PIPE) or not scripts.is_dir():
        raise Untried("installs in guests only")
    target = suite.work / "target"
    os.makedirs(target / "release")
    for name in ("lictor", "lictord"):
        os.symlink(pathlib.Path(suite.daemon.program).with_name(name), target / "release" / name)
    suite.daemon.stop()
    try:
        return installed(suite, scripts, ("--target-dir", target))
    finally:
        subprocess.run([scripts / "uninstall.sh", "--purge"], capture_output=True, check=False)
        os.makedirs("/var/lib/lictor", exist_ok=True)
        suite.daemon.start()


def installed(suite, scripts, options):
    said = call(scripts / "install.sh", *options)
    require(all(os.path.isfile(path) for path in (*PLACED, *SETTINGS)), f"not everything was installed: {said}")
    require("lictor" in {entry.gr_name for entry in grp.getgrall()}, "there is no group lictor")
    # The administrator's settings survive a second installation.
    pathlib.Path(SETTINGS[1]).write_text("fail_closed: all\n")
    require("kept" in call(scripts / "install.sh", *options) and pathlib.Path(SETTINGS[1]).read_text() == "fail_closed: all\n", "settings were overwritten")
    with open(suite.work / "installed.log", "wb") as log:
        daemon = subprocess.Popen(["/usr/local/bin/lictord"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment(suite))
    try:
        wait_until(lambda: daemon.poll() is not None or Daemon.answers(), 240, "the installed daemon answers")
        require("ENFORCING" in call("/usr/local/bin/lictor", "status"), (suite.work / "installed.log").read_text(errors="replace"))
        require(os.stat(CONTROL).st_gid == grp.getgrnam("lictor").gr_gid, "the socket is not the group's")
        call("/usr/local/bin/lictor", "run", "--agent", "default", "--", "true")
    finally:
        daemon.terminate()
        daemon.wait()
    said = call(scripts / "uninstall.sh")
    left = [path for path in (*PLACED, PINS, os.path.dirname(CONTROL)) if os.path.exists(path)]
    require(not left, f"uninstalled, and left: {left}: {said}")
    require(all(os.path.exists(path) for path in SETTINGS), "settings were removed without --purge")
    # The programs go with the pins. The kernel detaches one after the other, and waits for every CPU and task each time:
    # in an emulated guest that is a matter of minutes, so it is told here and not waited for.
    programs = call("bpftool", "prog", "show").count(" lictor_")
    call(scripts / "uninstall.sh", "--purge")
    require(not os.path.exists("/etc/lictor") and not os.path.exists("/var/lib/lictor"), "--purge left settings or records")
    return f"{len(PLACED)} files, and back; {programs} programs not yet released by the kernel"
