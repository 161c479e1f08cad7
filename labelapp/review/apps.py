from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ReviewConfig(AppConfig):
    name = "labelapp.review"

    def ready(self) -> None:
        from labelapp.exchange.subjects import LISTS, SUBJECTS, register_extras
        from labelapp.judgements.followers import register_counter, register_follower
        from labelapp.labelling.followers import ItemsFollower, register_items_follower
        from labelapp.review.exports import adjudication_extras, truth_subject, truths_exportable
        from labelapp.review.label_tallies import tallies_kept
        from labelapp.review.scores import scores_follow_opening, scores_kept, scores_write

        SUBJECTS["truth"] = truth_subject
        LISTS["truth"] = truths_exportable
        register_extras("project", adjudication_extras)
        register_follower(scores_kept)
        register_counter(tallies_kept)
        post_migrate.connect(marks_catch_up, sender=self)
        register_items_follower(ItemsFollower(changed=scores_write, reopened=scores_follow_opening))


def marks_catch_up(sender: AppConfig, apps: Any = None, **rest: Any) -> None:
    """After a migration: what was judged before labels were counted and audits' marks kept is caught up with."""
    if apps is None or "labeltally" not in apps.all_models["review"]:  # emptied, or migrated to an earlier state
        return
    from labelapp.review.label_tallies import tallies_verify
    from labelapp.review.models import LabelTally
    from labelapp.review.scores import marks_fill

    if not LabelTally.objects.exists():
        tallies_verify(repair=True)
    marks_fill()
