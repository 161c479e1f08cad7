from django.apps import AppConfig


class JudgementsConfig(AppConfig):
    name = "labelapp.judgements"

    def ready(self) -> None:
        from labelapp.judgements import panels

        panels.register()
