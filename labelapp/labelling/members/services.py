"""Writes on who takes part in a project: members by name, and invitations by link."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Invitation, Membership, Project
from labelapp.labelling.queue import leases_end
from labelapp.labelling.selectors import JUDGING_ROLES

# A link can be passed on; who is to own a project is named.
INVITED_ROLES = (Membership.Role.ANNOTATOR, Membership.Role.REVIEWER, Membership.Role.VIEWER)
OVER = "This invitation has expired, was revoked, or has been used up; ask an owner of the project for a new one."
NO_OWNER = "{user} is the only owner of {project}; make somebody else an owner first."


def member_add(*, project: Project, username: str, role: str) -> Membership:
    """Make a person with an account a member. Raises LabellingError where there is none, or is a member already."""
    user = User.objects.filter(username=username.strip(), is_active=True).first()
    if user is None:
        raise LabellingError(
            f"There is no account {username.strip()!r}; check the spelling, or make an invitation link for this person."
        )
    membership, is_new = Membership.objects.get_or_create(project=project, user=user, defaults={"role": role})
    if not is_new:
        raise LabellingError(f"{user} is {membership.role} of {project.name} already; change the role in the list.")
    return membership


def member_role_change(*, project: Project, user: User, role: str) -> None:
    """Raises LabellingError where the project would be left without an owner, or the person is no member."""
    with transaction.atomic():
        membership = _membership_locked(project, user)
        if role != Membership.Role.OWNER:
            _require_another_owner(membership)
        Membership.objects.filter(pk=membership.pk).update(role=role)
        if role not in JUDGING_ROLES:
            leases_end(project, user)


def member_remove(*, project: Project, user: User) -> None:
    """The person leaves; what he or she judged stays. Links that the person came in by are revoked.

    Raises LabellingError where the project would be left without an owner, or the person is no member.
    """
    with transaction.atomic():
        membership = _membership_locked(project, user)
        _require_another_owner(membership)
        if membership.invitation_id is not None:
            _revoke(membership.invitation_id)
        membership.delete()
        leases_end(project, user)


def invitation_create(
    *, project: Project, created_by: User, role: str, days: int, uses_at_most: int
) -> tuple[Invitation, str]:
    """A link that makes its users members for so many days, and its secret, which is stored nowhere.

    Raises LabellingError for the role of an owner.
    """
    if role not in INVITED_ROLES:
        raise LabellingError("A link makes nobody an owner, since it can be passed on; add an owner by name.")
    secret = secrets.token_urlsafe(24)
    invitation = Invitation.objects.create(
        project=project,
        secret_hash=_hash(secret),
        role=role,
        uses_at_most=uses_at_most,
        created_by=created_by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return invitation, secret


def invitation_revoke(*, project: Project, invitation_id: int) -> bool:
    """From now on nobody comes in by it; who did stays. False where it is not the project's, or was revoked before."""
    return Invitation.objects.filter(pk=invitation_id, project=project).exists() and _revoke(invitation_id)


def invitation_get(secret: str) -> Invitation | None:
    """The invitation of a link, if it can still be used."""
    return Invitation.objects.filter(_usable(), secret_hash=_hash(secret)).select_related("project").first()


def invitation_of(secret: str, user: User) -> Project | None:
    """The project that this link led the person to before, whatever has become of the link."""
    rows = Membership.objects.filter(user=user, project__invitations__secret_hash=_hash(secret))
    membership = rows.select_related("project").first()
    return membership.project if membership else None


def invitation_accept(*, secret: str, user: User) -> Membership:
    """Make the person a member with the link's role; a member keeps the role that he or she has, and uses nothing up.

    Raises LabellingError, and changes nothing, where the link cannot be used (any more).
    """
    with transaction.atomic():
        invitation = Invitation.objects.filter(secret_hash=_hash(secret)).select_related("project").first()
        if invitation is None:
            raise LabellingError(OVER)
        membership, is_new = Membership.objects.get_or_create(
            project=invitation.project, user=user, defaults={"role": invitation.role, "invitation": invitation}
        )
        if is_new and not Invitation.objects.filter(_usable(), pk=invitation.pk).update(uses=F("uses") + 1):
            raise LabellingError(OVER)
    return membership


def _usable() -> Q:
    return Q(revoked_at=None, expires_at__gt=timezone.now(), uses__lt=F("uses_at_most"))


def _revoke(invitation_id: int) -> bool:
    rows = Invitation.objects.filter(pk=invitation_id, revoked_at=None)
    return bool(rows.update(revoked_at=timezone.now()))


def _hash(secret: str) -> str:
    # 192 random bits need no salt and no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _membership_locked(project: Project, user: User) -> Membership:
    """Of two owners who remove each other at once the second waits here, and is then the only one."""
    Project.objects.select_for_update().get(pk=project.pk)
    membership = Membership.objects.filter(project=project, user=user).select_related("project", "user").first()
    if membership is None:
        raise LabellingError(f"{user} is no member of {project.name} any more.")
    return membership


def _require_another_owner(membership: Membership) -> None:
    if membership.role != Membership.Role.OWNER:
        return
    owners = Membership.objects.filter(project=membership.project, role=Membership.Role.OWNER)
    if not owners.exclude(pk=membership.pk).exists():
        raise LabellingError(NO_OWNER.format(user=membership.user, project=membership.project))
