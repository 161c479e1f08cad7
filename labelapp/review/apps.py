from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "labelapp.review"

    def ready(self) -> None:
        from labelapp.exchange.subjects import LISTS, SUBJECTS, register_extras
        from labelapp.judgements.followers import register_follower
        from labelapp.labelling.followers import ItemsFollower, register_items_follower
        from labelapp.review.exports import adjudication_extras, truth_subject, truths_exportable
        from labelapp.review.scores import scores_follow_opening, scores_kept, scores_write

        SUBJECTS["truth"] = truth_subject
        LISTS["truth"] = truths_exportable
        register_extras("project", adjudication_extras)
        register_follower(scores_kept)
        register_items_follower(ItemsFollower(changed=scores_write, reopened=scores_follow_opening))
