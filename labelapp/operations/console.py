"""What `up` says: lines, and a line of progress that rewrites itself on a terminal. Standard library only."""

from __future__ import annotations

import sys
import time
from typing import TextIO

SECONDS_BETWEEN_PLAIN_LINES = 5.0


class Console:
    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self._shown = ""
        self._plain = ("", float("-inf"))

    def line(self, text: str = "") -> None:
        """A line that stays."""
        self._write(("\r\033[K" if self._shown else "") + text + "\n")
        if self._shown:
            self._write(self._shown)

    def progress(self, topic: str, text: str) -> None:
        """The state of the work; without a terminal a plain line per topic, and now and then one more."""
        if self.terminal:
            if text != self._shown:
                self._shown = text
                self._write("\r\033[K" + text)
            return
        last_topic, last_time = self._plain
        if topic != last_topic or time.monotonic() - last_time >= SECONDS_BETWEEN_PLAIN_LINES:
            self._plain = (topic, time.monotonic())
            self._write(text + "\n")

    def progress_end(self) -> None:
        if self._shown:
            self._shown = ""
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass  # whoever read it has gone; the servers have not
