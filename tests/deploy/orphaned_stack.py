"""A program that starts a stack with a careless process in it, says so, and waits to be killed."""

import signal
import sys
from pathlib import Path

from deploy.local import LocalStack

CARELESS = """
import subprocess, time
subprocess.Popen(['sleep', '600'], start_new_session=True)
open('ready', 'w').close()
time.sleep(600)
"""

if __name__ == "__main__":
    with LocalStack(Path(sys.argv[1]), parts={"kafka", "mariadb"}) as stack:
        # It starts another one in a session of its own, where a signal to its group does not reach it.
        home = stack.endpoints.directory
        stack.run("careless", [sys.executable, "-c", CARELESS], cwd=home)
        while not (home / "ready").exists():
            signal.sigtimedwait([], 0.05)
        sys.stdout.write("running\n")
        sys.stdout.flush()
        signal.pause()
