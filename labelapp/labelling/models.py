"""Projects: what is judged by whom, under which guidelines."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Subject
from labelapp.labelling.checks.models import Check, CheckMix, Gold

__all__ = [
    "SOURCE_PREFIX", "Check", "CheckMix", "Gold", "Guidelines", "Invitation", "Item", "Lease", "Membership", "Project",
    "Skip",
]  # fmt: skip

# Judgements made in a project carry this and its id as their source.
SOURCE_PREFIX = "project:"


def _item_id() -> str:
    return secrets.token_urlsafe(9)


class Project(models.Model):
    """A selection of directions, of vectors or of matrices, guidelines and members."""

    class State(models.TextChoices):
        DRAFT = "draft"  # nothing is drawn yet
        OPEN = "open"
        PAUSED = "paused"

    class Ends(models.TextChoices):
        ONE = "one"
        BOTH = "both"

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    # What an item is. Of a vector both ends are shown, of a matrix its first vectors.
    subject = models.CharField(max_length=10, choices=Subject.choices, default=Subject.DIRECTION)
    tokens_shown = models.PositiveSmallIntegerField(default=15)
    # The share of tokens that must fit, as the rubric has it (the post: 70 to 80 %).
    threshold = models.FloatField(default=0.7)
    # How many people judge each item.
    overlap = models.PositiveSmallIntegerField(default=1)
    # Which ends of a vector the page shows at once. With "both" vectors are drawn, and their two ends are items at
    # neighbouring positions with the same inclusion probability.
    ends = models.CharField(max_length=4, choices=Ends.choices, default=Ends.ONE)
    # Whether others' judgements of an item are shown to a person who has judged it.
    reveal = models.BooleanField(default=True)
    # How the items were drawn: {"kind": "simple_random", "seed": …, "population": …, "n": …, "selection": {…}}.
    design = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, blank=True)  # when the items were drawn, and the design frozen

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> str:
        """What judgements made in this project carry."""
        return f"{SOURCE_PREFIX}{self.pk}"

    @property
    def is_of_directions(self) -> bool:
        return self.subject == Subject.DIRECTION

    @property
    def units(self) -> str:
        """What its design draws, in the plural."""
        if self.subject == Subject.MATRIX:
            return "matrices"
        return "vectors" if self.subject == Subject.VECTOR or self.ends == self.Ends.BOTH else "ends"


class Guidelines(models.Model):
    """One version of a project's rubric; a judgement remembers the version that it was made under."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    # The project's threshold as it was under this version.
    threshold = models.FloatField(default=0.7)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "guidelines"
        constraints = [
            models.UniqueConstraint(fields=["project", "version"], name="one_guidelines_version"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} v{self.version}"


class Membership(models.Model):
    """A person's role in a project."""

    class Role(models.TextChoices):
        OWNER = "owner"
        REVIEWER = "reviewer"
        ANNOTATOR = "annotator"
        VIEWER = "viewer"

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    # The link that the person came in by; none where an owner added the person.
    invitation = models.ForeignKey("Invitation", models.SET_NULL, null=True, blank=True, related_name="memberships")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_in_a_project"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.project_id}"


class Invitation(models.Model):
    """A link that makes whoever opens it a member: until it expires, is revoked, or has been used often enough."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    # SHA-256 of the link's secret; the link itself is shown once and stored nowhere.
    secret_hash = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=10, choices=Membership.Role.choices)
    uses_at_most = models.PositiveSmallIntegerField(default=1)
    uses = models.PositiveSmallIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.role} of {self.project_id} until {self.expires_at:%Y-%m-%d}"


class Item(models.Model):
    """One direction of a project, under an opaque id: blind pages never show a key.

    In a project of vectors or matrices it is the direction that stands for one: the + end, the first one selected.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="items")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="items")
    opaque_id = models.CharField(max_length=16, unique=True, default=_item_id)
    position = models.PositiveIntegerField()  # in the queue, a seeded shuffle
    # With which the design drew it; None in the exploration queue, which is no sample.
    inclusion_probability = models.FloatField(null=True, blank=True)
    # Chosen because it is worth looking at: such items and their judgements stay out of every estimate.
    exploration = models.BooleanField(default=False)
    # How many people's judgements stand on it, never more than the overlap; `is_open` while there are fewer. Both
    # change in the transaction that writes or withdraws a judgement; `manage.py verify` recomputes them.
    n_judged = models.PositiveSmallIntegerField(default=0)
    is_open = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(exploration=True, inclusion_probability__isnull=True)
                # "Not null" is said as well: a comparison with NULL is unknown, and a check lets that pass.
                | models.Q(
                    exploration=False,
                    inclusion_probability__isnull=False,
                    inclusion_probability__gt=0,
                    inclusion_probability__lte=1,
                ),
                name="a_probability_unless_exploration",
            ),
            models.UniqueConstraint(fields=["project", "direction"], name="one_item_for_a_direction"),
            models.UniqueConstraint(fields=["project", "position"], name="one_item_at_a_position"),
        ]
        indexes = [
            # Serves the queue: the next open item by position, however many are done.
            models.Index(fields=["project", "position"], condition=models.Q(is_open=True), name="open_items"),
        ]

    def __str__(self) -> str:
        return self.opaque_id


class Lease(models.Model):
    """An item that lies before a person, or comes next: nobody else gets it where it would be one judgement too many.

    It ends by time, and the page prolongs it. It reserves an item and decides nothing: an answer that comes later
    is taken while the overlap is not full.
    """

    item = models.ForeignKey(Item, models.CASCADE, related_name="leases")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "user"], name="one_lease"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} has {self.item_id} until {self.until:%H:%M:%S}"


class Skip(models.Model):
    """A person put an item off; it comes back when nothing else is left."""

    class Reason(models.TextChoices):
        LATER = "later", "later"
        TOO_HARD = "too_hard", "too hard to decide"
        UNREADABLE = "unreadable", "a script or language I cannot read"
        BROKEN = "broken", "the readout looks broken"

    item = models.ForeignKey(Item, models.CASCADE, related_name="skips")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    at = models.DateTimeField()
    reason = models.CharField(max_length=12, choices=Reason.choices, default=Reason.LATER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "user"], name="one_skip"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} skipped {self.item_id}"


# Django finds an app's models where its `models` module has them.
from labelapp.labelling.trials.models import AskedRun, ChoiceTest, Trial, TrialAnswer  # noqa: E402, F401
