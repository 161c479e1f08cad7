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


def test_ctrl_c_costs_no_traceback():
    code = "import time; print('on', flush=True); time.sleep(60)"
    run = subprocess.Popen(
        [sys.executable, MANAGE, "shell", "--no-imports", "--command", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None and run.stdout.readline() == "on\n"
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGINT and said == ""
