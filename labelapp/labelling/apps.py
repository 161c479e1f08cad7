from django.apps import AppConfig


class LabellingConfig(AppConfig):
    name = "labelapp.labelling"

    def ready(self) -> None:
        from labelapp.atlas.panels import register_blind_check
        from labelapp.exchange.subjects import SUBJECTS
        from labelapp.labelling.exports import project_subject
        from labelapp.labelling.selectors import directions_hidden_from

        SUBJECTS["project"] = project_subject
        register_blind_check(directions_hidden_from)
