from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "labelapp.review"

    def ready(self) -> None:
        from labelapp.exchange.subjects import SUBJECTS, register_extras
        from labelapp.review.exports import adjudication_extras, truth_subject

        SUBJECTS["truth"] = truth_subject
        register_extras("project", adjudication_extras)
