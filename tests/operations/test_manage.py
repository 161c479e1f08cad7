import os
import signal
import subprocess
import sys
from pathlib import Path

MANAGE = Path(__file__).parents[2] / "manage.py"


def test_a_reader_that_has_seen_enough_costs_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        run = subprocess.run(
            [sys.executable, MANAGE, "help", "--commands"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in run.stderr and "BrokenPipe" not in run.stderr
