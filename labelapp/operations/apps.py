from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_save


class OperationsConfig(AppConfig):
    name = "labelapp.operations"

    def ready(self) -> None:
        post_save.connect(_forget_one_time_password, sender=settings.AUTH_USER_MODEL)


def _forget_one_time_password(instance: Any, **_: Any) -> None:
    """up.json stops showing the one-time password once its user has chosen another one."""
    from labelapp.operations.upfile import upfile_read, upfile_update

    known = upfile_read(settings.DATA_DIR)
    if known.get("password") and known.get("user") == instance.username and not instance.must_change_password:
        transaction.on_commit(lambda: upfile_update(settings.DATA_DIR, password=None))
