import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelapp.jobs.follow import job_wait
from labelapp.jobs.services import JobError
from labelapp.operations.demo import DemoError, demo_prepare, job_poll
from labelapp.operations.upfile import upfile_read


class Command(BaseCommand):
    help = "Prepare the demo (first user, decomposed model, project, judgements), or go on where it stopped."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--events", action="store_true", help="lines of JSON, for the supervisor")

    def handle(self, *args: Any, **options: Any) -> None:
        events = options["events"]
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        try:
            demo_prepare(self._event if events else self._line, job_poll if events else job_wait)
        except (DemoError, JobError) as error:
            if events:
                self.stdout.write(json.dumps({"error": str(error)}))
            raise CommandError(str(error)) from error
        known = upfile_read(settings.DATA_DIR)
        if not events and known.get("password"):
            self.stdout.write(f"user {known['user']}, one-time password {known['password']}")

    def _event(self, topic: str, text: str) -> None:
        self.stdout.write(json.dumps({"topic": topic, "text": text}))
        self.stdout.flush()

    _last = ""

    def _line(self, topic: str, text: str) -> None:
        if text != self._last:
            self._last = text
            self.stdout.write(text)
