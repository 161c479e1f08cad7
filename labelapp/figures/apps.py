from django.apps import AppConfig


class FiguresConfig(AppConfig):
    name = "labelapp.figures"

    def ready(self) -> None:
        from labelapp.figures import panels, tables

        panels.register()
        tables.register()
