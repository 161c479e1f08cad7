"""Members, roles and invitations: never without an owner, and no link that works longer or for more than it should."""

import hashlib
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.members.services import (
    invitation_accept,
    invitation_create,
    invitation_get,
    invitation_revoke,
    member_add,
    member_remove,
    member_role_change,
)
from labelapp.labelling.models import Invitation
from labelapp.labelling.services import item_judge
from tests.factories import cast_project
from tests.support.cast import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(owner, reviewer, annotator):
    return cast_project(owner, reviewer, annotator)


def link(project, owner, role="annotator", days=1, uses_at_most=1):
    return invitation_create(project=project, created_by=owner, role=role, days=days, uses_at_most=uses_at_most)


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


def roles(project):
    return {it.user.username: it.role for it in project.memberships.select_related("user")}


# Members by name


def test_a_person_is_added_by_name(project, owner_client, outsider):
    response = owner_client.post(address("members", project), {"username": " outsider ", "role": "viewer"}, follow=True)
    assert "outsider is viewer of Animals now." in response.content.decode()
    assert roles(project)["outsider"] == "viewer"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"username": "nobody", "role": "viewer"}, "There is no account &#x27;nobody&#x27;"),
        ({"username": "annotator", "role": "viewer"}, "annotator is annotator of Animals already"),
        ({"username": "outsider", "role": "king"}, "There is no role king"),
        ({"username": "", "role": "viewer"}, "This field is required."),
    ],
)
def test_whom_one_cannot_add_is_said_in_a_sentence(project, owner_client, outsider, fields, sentence):
    before = roles(project)
    response = owner_client.post(address("members", project), fields)
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    assert roles(project) == before


def test_a_closed_account_is_not_added(project, outsider):
    User.objects.filter(pk=outsider.pk).update(is_active=False)
    with pytest.raises(LabellingError, match="no account"):
        member_add(project=project, username="outsider", role="viewer")


def test_a_role_is_changed(project, owner_client, annotator):
    owner_client.post(address("member", project, annotator.pk), {"role": "reviewer"})
    assert roles(project)["annotator"] == "reviewer"
    response = owner_client.post(address("member", project, annotator.pk), {"role": "king"})
    assert response.status_code == 422 and roles(project)["annotator"] == "reviewer"


def test_who_is_removed_finds_nothing_any_more_and_the_judgements_stay(
    project, owner_client, annotator, annotator_client
):
    item = project.items.first()
    item_judge(item=item, user=annotator, verdict="interpretable", label="animals")
    owner_client.post(address("member", project, annotator.pk), {"act": "remove"})
    assert "annotator" not in roles(project)
    assert annotator_client.get(address("queue", project)).status_code == 404
    second = project.items.last()
    assert annotator_client.post(
        reverse("labelling:judge", args=[project.slug, second.opaque_id]), {"verdict": "unsure"}
    ).status_code == 404  # fmt: skip
    assert list(Judgement.objects.filter(current=True).values_list("label", flat=True)) == ["animals"]


def test_a_project_is_never_without_an_owner(project, owner, owner_client, reviewer):
    for fields in ({"act": "remove"}, {"role": "viewer"}):
        response = owner_client.post(address("member", project, owner.pk), fields)
        assert response.status_code == 422 and "is the only owner of Animals" in response.content.decode()
    member_role_change(project=project, user=reviewer, role="owner")
    response = owner_client.post(address("member", project, owner.pk), {"act": "remove"}, follow=True)
    assert response.redirect_chain[-1][0] == reverse("labelling:projects")
    assert roles(project) == {"reviewer": "owner", "annotator": "annotator"}
    with pytest.raises(LabellingError, match="no member"):
        member_remove(project=project, user=owner)


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_at_once_leave_one(project, owner, reviewer):
    member_role_change(project=project, user=reviewer, role="owner")
    ready, refused = threading.Barrier(2), []

    def act(user):
        ready.wait()
        try:
            member_remove(project=project, user=user)
        except LabellingError as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=[user]) for user in (owner, reviewer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1 and list(roles(project).values()).count("owner") == 1


def test_a_member_of_another_project_is_not_found(project, owner_client, outsider):
    other = cast_project(outsider, name="Other")
    assert owner_client.post(address("member", project, outsider.pk), {"act": "remove"}).status_code == 404
    assert roles(other) == {"outsider": "owner"}


# Invitations


def test_a_link_is_shown_once_and_stored_as_a_hash(project, owner_client):
    response = owner_client.post(address("invite", project), {"role": "viewer", "days": 3, "uses_at_most": 2})
    html = response.content.decode()
    secret = html.split("/label/join/")[1].split("/")[0]
    row = Invitation.objects.get()
    assert row.secret_hash == hashlib.sha256(secret.encode()).hexdigest() and len(secret) == 32
    assert (row.role, row.uses_at_most) == ("viewer", 2)
    assert timedelta(days=2.9) < row.expires_at - timezone.now() < timedelta(days=3)
    assert secret not in owner_client.get(address("members", project)).content.decode()
    assert invitation_get(secret) == row and invitation_get("x") is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"role": "owner"}, "There is no role owner"),
        ({"days": 0}, "greater than or equal to 1"),
        ({"days": 366}, "less than or equal to 365"),
        ({"uses_at_most": 0}, "greater than or equal to 1"),
        ({"uses_at_most": "x"}, "Enter a whole number"),
    ],
)
def test_a_link_that_cannot_be_is_said_in_a_sentence(project, owner, owner_client, fields, sentence):
    response = owner_client.post(address("invite", project), {"role": "viewer", "days": 1, "uses_at_most": 1, **fields})
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    with pytest.raises(LabellingError, match="nobody an owner"):
        link(project, owner, role="owner")
    assert not Invitation.objects.exists()


def test_a_signed_in_person_comes_in_by_it_once(project, owner, outsider, outsider_client, make_user):
    invitation, secret = link(project, owner, role="reviewer")
    page = reverse("labelling:join", args=[secret])
    html = outsider_client.get(page).content.decode()
    assert "You are invited to Animals" in html and "Come in as outsider" in html and "outsider" not in roles(project)
    response = outsider_client.post(page, follow=True)
    assert "You are reviewer of Animals now." in response.content.decode()
    assert roles(project)["outsider"] == "reviewer"
    assert project.memberships.get(user=outsider).invitation == invitation
    assert outsider_client.post(page, follow=True).status_code == 200, "a double click leads there again"
    invitation.refresh_from_db()
    assert invitation.uses == 1
    with pytest.raises(LabellingError, match="used up"):
        invitation_accept(secret=secret, user=make_user("late"))
    assert "late" not in roles(project)


def test_a_member_keeps_the_role_and_uses_nothing_up(project, owner, owner_client):
    invitation, secret = link(project, owner, role="viewer")
    assert owner_client.get(reverse("labelling:join", args=[secret])).status_code == 302
    assert owner_client.post(reverse("labelling:join", args=[secret])).status_code == 302
    assert invitation_accept(secret=secret, user=owner).role == "owner"
    invitation.refresh_from_db()
    assert invitation.uses == 0 and roles(project)["owner"] == "owner"


def test_an_account_is_made_on_the_spot(project, owner, client):
    page = reverse("labelling:join", args=[link(project, owner)[1]])
    html = client.get(page).content.decode()
    assert "Make an account and come in" in html and f"next={page.replace('/', '%2F')}" in html
    response = client.post(page, {"username": "fresh", "password1": PASSWORD, "password2": PASSWORD}, follow=True)
    assert "You are annotator of Animals now." in response.content.decode()
    assert roles(project)["fresh"] == "annotator" and User.objects.get(username="fresh").check_password(PASSWORD)
    assert client.get(address("queue", project)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"username": "owner"}, "already exists"),
        ({"username": "a b"}, "Enter a valid username"),
        ({"password2": "other"}, "match"),
        ({"password1": "12345678", "password2": "12345678"}, "too common"),
        ({"username": ""}, "required"),
    ],
)
def test_an_account_that_cannot_be_made_uses_nothing_up(project, owner, client, fields, sentence):
    invitation, secret = link(project, owner)
    values = {"username": "fresh", "password1": PASSWORD, "password2": PASSWORD} | fields
    response = client.post(reverse("labelling:join", args=[secret]), values)
    assert response.status_code == 422 and sentence in response.content.decode()
    invitation.refresh_from_db()
    assert invitation.uses == 0 and not User.objects.filter(username="fresh").exists()


@pytest.mark.parametrize("change", ["revoked", "expired", "used", "gone", "wrong"])
def test_a_link_that_is_over_says_so_and_makes_no_account(project, owner, client, outsider_client, change):
    invitation, secret = link(project, owner)
    rows = Invitation.objects.filter(pk=invitation.pk)
    if change == "revoked":
        assert invitation_revoke(project=project, invitation_id=invitation.pk)
        assert not invitation_revoke(project=project, invitation_id=invitation.pk)
    elif change == "expired":
        rows.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif change == "used":
        rows.update(uses=1)
    elif change == "gone":
        rows.delete()
    else:
        secret = "x" * 32
    page = reverse("labelling:join", args=[secret])
    for who in (client, outsider_client):
        for response in (
            who.get(page),
            who.post(page, {"username": "fresh", "password1": PASSWORD, "password2": PASSWORD}),
        ):
            html = response.content.decode()
            assert response.status_code == 404 and "has expired, was revoked, or has been used up" in html
            assert "Animals" not in html
    assert not User.objects.filter(username="fresh").exists() and set(roles(project)) == {
        "owner", "reviewer", "annotator",
    }  # fmt: skip


def test_a_link_that_ends_between_form_and_answer_makes_nothing(project, owner, client, monkeypatch):
    """It is used up by somebody else after it was looked at."""
    invitation, secret = link(project, owner)
    rows = Invitation.objects.filter(pk=invitation.pk)
    monkeypatch.setattr(
        "labelapp.labelling.members.views.invitation_get", lambda secret: (rows.update(uses=1), invitation)[1]
    )
    response = client.post(
        reverse("labelling:join", args=[secret]), {"username": "fresh", "password1": PASSWORD, "password2": PASSWORD}
    )
    assert response.status_code == 422 and "used up" in response.content.decode()
    assert not User.objects.filter(username="fresh").exists() and "_auth_user_id" not in client.session


def test_whoever_is_removed_does_not_come_back_by_the_same_link(project, owner, outsider):
    _, secret = link(project, owner, uses_at_most=5)
    invitation_accept(secret=secret, user=outsider)
    member_remove(project=project, user=outsider)
    with pytest.raises(LabellingError, match="revoked"):
        invitation_accept(secret=secret, user=outsider)


def test_an_invitation_of_another_project_is_not_revoked(project, owner_client, outsider):
    other = cast_project(outsider, name="Other")
    invitation, secret = link(other, outsider)
    assert owner_client.post(address("revoke", project, invitation.pk)).status_code == 404
    assert not invitation_revoke(project=project, invitation_id=invitation.pk)
    assert invitation_get(secret) == invitation


def test_the_page_lists_what_became_of_links(project, owner, owner_client, reviewer_client, outsider):
    for state in ("open", "revoked", "expired", "used up"):
        invitation, secret = link(project, owner)
        if state == "revoked":
            owner_client.post(address("revoke", project, invitation.pk))
        elif state == "expired":
            Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())
        elif state == "used up":
            invitation_accept(secret=secret, user=outsider)
    html = owner_client.get(address("members", project)).content.decode()
    assert all(f"<td>{state}</td>" in html for state in ("open", "revoked", "expired", "used up"))
    assert html.count("Revoke the link") == 1 and "by link" in html
    html = reviewer_client.get(address("members", project)).content.decode()
    assert "Remove" not in html and "Revoke" not in html and "Make a link" not in html


@pytest.mark.django_db(transaction=True)
def test_ten_who_open_a_link_for_three_at_once_are_three(project, owner, make_user):
    invitation, secret = link(project, owner, uses_at_most=3)
    users = [make_user(f"person{n}") for n in range(10)]
    ready, refused = threading.Barrier(len(users)), []

    def act(user):
        ready.wait()
        try:
            invitation_accept(secret=secret, user=user)
        except LabellingError as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    invitation.refresh_from_db()
    assert invitation.uses == 3 and len(refused) == 7
    assert sum(name.startswith("person") for name in roles(project)) == 3


def test_the_page_of_members_takes_the_same_queries_however_many(
    project, owner, owner_client, make_user, django_assert_num_queries
):
    address_ = address("members", project)
    owner_client.get(address_)
    with django_assert_num_queries(6):
        owner_client.get(address_)
    for n in range(12):
        project.memberships.create(user=make_user(f"person{n}"), role="annotator", invitation=link(project, owner)[0])
    with django_assert_num_queries(6):
        assert "person11" in owner_client.get(address_).content.decode()
