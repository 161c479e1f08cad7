"""The Celery app: queues, routes and what a lost message may cost (nothing: see labelapp/jobs).

It must stay light: the web process imports it in order to send tasks by name.
"""

import os

from celery import Celery
from kombu import Queue

# A second busy process makes OpenMP threads spin: an eigendecomposition of .4 s then takes half a minute.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.config.settings")

QUEUES = ("weights", "llm", "export")

app = Celery("workers", include=["workers.tasks.weights", "workers.tasks.llm", "workers.tasks.export"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_queues=[Queue(name) for name in QUEUES],
    task_default_queue="weights",
    task_routes={f"workers.tasks.{queue}.*": {"queue": queue} for queue in QUEUES},
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # Above the longest task, or the broker redelivers it for ever; recovery in seconds is the lease's work.
    broker_transport_options={
        "visibility_timeout": 12 * 3600,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        # A request waits only briefly for a broker that is away: the reaper sends the message later.
        "max_retries": 1,
        "interval_start": 0,
        "interval_max": 0.1,
    },
)


def queue_of(task: str) -> str:
    """The queue that a task name is routed to ("workers.tasks.weights.decompose_layer" to "weights")."""
    return task.split(".")[2]
