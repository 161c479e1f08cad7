from django.apps import AppConfig


class LabellingConfig(AppConfig):
    name = "labelapp.labelling"

    def ready(self) -> None:
        from labelapp.atlas.panels import register_blind_check, register_hidden_directions
        from labelapp.exchange.subjects import LISTS, SUBJECTS
        from labelapp.judgements.visibility import register_source_check
        from labelapp.labelling import blindness
        from labelapp.labelling.exports import project_subject, projects_exportable

        SUBJECTS["project"] = project_subject
        LISTS["project"] = projects_exportable
        register_blind_check(blindness.directions_hidden_from)
        register_hidden_directions(blindness.directions_to_judge)
        register_source_check(blindness.judgements_shown_to)
