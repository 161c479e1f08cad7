"""Figures as they were computed: what a job found, and what somebody kept under a permanent address."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Figure(models.Model):
    """One figure of one version of the data. Its content never changes: other data make another row."""

    kind = models.CharField(max_length=30)
    query = models.JSONField()  # as `query.Query.as_json`, with machine, rule and project named
    query_hash = models.CharField(max_length=64)
    data_hash = models.CharField(max_length=12)  # `kinds.base.Inputs.data_hash`
    content = models.JSONField()  # as `kinds.base.Computed.as_json`
    # What it was computed from, as `kinds.base.Inputs`: long, and read only where somebody wants to recompute it.
    census = models.JSONField()  # [columns, rows]
    labels = models.JSONField()
    # The newest rows when it was last found to be so (`review.stamp`): as long as there are no newer ones, it
    # need not be computed anew.
    stamp = models.CharField(max_length=120)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Serves the permanent address as well.
            models.UniqueConstraint(fields=["kind", "query_hash", "data_hash"], name="one_figure_of_a_data_version"),
        ]
        indexes = [
            # The last one of a query, which a page shows at once.
            models.Index(fields=["kind", "query_hash", "-id"], name="figures_of_a_query"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.data_hash}"
