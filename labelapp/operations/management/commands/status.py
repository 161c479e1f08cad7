from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from labelapp.jobs.models import OPEN, Job
from labelapp.jobs.selectors import job_progress, workers_alive
from labelapp.operations.health import health_checks


class Command(BaseCommand):
    help = "Show whether the parts are well, which workers are alive, and which jobs wait or run."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        checks = {check.name: check for check in health_checks()}
        for check in checks.values():
            self.stdout.write(f"{'ok' if check.ok else 'BAD':4} {check.name:10}  {check.detail}")
        if checks["database"].ok and checks["migrations"].ok:
            self._workers()
            self._jobs()
        if not all(check.ok for check in checks.values()):
            raise CommandError("Not everything is well; see the lines marked BAD.")

    def _workers(self) -> None:
        for beat in workers_alive():
            seconds = (timezone.now() - beat.seen_at).total_seconds()
            self.stdout.write(f"worker {beat.name} serves {beat.queues}, heard of {seconds:.0f} s ago")

    def _jobs(self) -> None:
        jobs = Job.objects.filter(parent=None, state__in=OPEN).order_by("pk")
        for job in jobs:
            progress = job_progress(job.pk)
            self.stdout.write(f"job {job.pk} {job.title}: {progress.state}, {progress.percent} % {progress.message}")
        if not jobs:
            self.stdout.write("no jobs wait or run")
