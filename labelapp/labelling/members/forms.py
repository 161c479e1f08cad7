"""Forms of members and invitations."""

from __future__ import annotations

from django import forms

from labelapp.labelling.members.services import INVITED_ROLES
from labelapp.labelling.models import Membership

ROLES = [(role, role) for role in Membership.Role.values]
NO_ROLE = {"invalid_choice": "There is no role %(value)s; choose one from the list."}


class MemberForm(forms.Form):
    """Somebody with an account becomes a member."""

    username = forms.CharField(max_length=150, label="User name")
    role = forms.ChoiceField(choices=ROLES, initial=Membership.Role.ANNOTATOR, label="Role", error_messages=NO_ROLE)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=ROLES, label="Role", error_messages=NO_ROLE)


class InvitationForm(forms.Form):
    """A link; who opens it becomes a member."""

    role = forms.ChoiceField(choices=[(role, role) for role in INVITED_ROLES], label="Role", error_messages=NO_ROLE)
    days = forms.IntegerField(min_value=1, max_value=365, initial=14, label="Days", help_text="until it expires")
    uses_at_most = forms.IntegerField(
        min_value=1, max_value=1000, initial=1, label="People", help_text="who may come in by it"
    )
