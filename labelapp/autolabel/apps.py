from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AutolabelConfig(AppConfig):
    name = "labelapp.autolabel"

    def ready(self) -> None:
        post_migrate.connect(prompts_after_migrate, sender=self)


def prompts_after_migrate(sender: AppConfig, using: str, **_: Any) -> None:
    """The ready-made prompts are there as soon as their table is, and after every upgrade."""
    from django.db import connections

    from labelapp.autolabel.models import PromptVersion
    from labelapp.autolabel.prompts import prompts_load

    if PromptVersion._meta.db_table in connections[using].introspection.table_names():
        prompts_load()
