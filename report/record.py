#!/usr/bin/env python3
"""
record.py - run a command and keep what it printed, with what is needed to believe it: command, machine, emulator,
commit.

usage: report/record.py FILE COMMAND…
The status is the command's. The output is kept whatever that is: a report shows failures too.
"""
import os
import platform
import shlex
import subprocess
import sys
import time


def say(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    model = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("model name", "uarch")):
                model = line.split(":", 1)[1].strip() + ", "
                break
    return f"{model}{os.cpu_count()} processors, {platform.system()} {platform.machine()}"


def commit():
    dirty = say("git", "status", "--porcelain", "--untracked-files=no")
    return (say("git", "rev-parse", "--short=12", "HEAD") or "unknown") + (" and changes" if dirty else "")


class Record:
    """A file of that kind: about (a dict of the above), lines (the output)."""

    def __init__(self, path):
        self.about, self.lines = {}, []
        with open(path, errors="replace") as file:
            for line in file.read().splitlines():
                name, colon, value = line.removeprefix("#: ").partition(": ")
                if line.startswith("#: ") and colon:
                    self.about[name] = value
                else:
                    self.lines.append(line)

    @property
    def good(self):
        return self.about.get("status") == "0"


def main(path, *command):
    began = time.gmtime()
    run = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    emulators = [
        say(f"qemu-system-{arch}", "--version").partition("\n")[0] for arch in ("x86_64", "aarch64", "riscv64")
    ]
    about = {
        "command": shlex.join(command),
        "machine": machine(),
        "emulator": ", ".join(dict.fromkeys(filter(None, emulators))),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", began),
        "status": run.returncode,
    }
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.writelines(f"#: {name}: {value}\n" for name, value in about.items())
        file.write(run.stdout)
    if run.returncode:
        print(f"{shlex.join(command)}: status {run.returncode}\n{run.stdout[-2000:]}", file=sys.stderr)
    return run.returncode


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
