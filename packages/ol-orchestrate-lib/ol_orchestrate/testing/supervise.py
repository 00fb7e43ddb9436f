"""Runs one command until its starter ends; a script that imports nothing of this package.

The starter holds the other end of this process's standard input. It ends the command by writing a byte. If it dies,
even killed, the system closes the pipe, which ends the command as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the command in the arguments; exit with its exit code if it ends by itself."""
    # A shell lets its background jobs ignore interrupts; a program that inherits this may ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 - what it is for
    threading.Thread(target=lambda: os._exit(command.wait()), daemon=True).start()
    os.read(0, 1)
    command.kill()
    command.wait()


if __name__ == "__main__":
    main()
