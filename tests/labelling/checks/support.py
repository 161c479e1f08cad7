"""What the tests of checks have in common."""

import re

from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.labelling.cards import queue_state
from labelapp.labelling.checks.card import CheckCard
from labelapp.labelling.checks.models import Check
from labelapp.labelling.checks.planning import checks_plan
from labelapp.labelling.checks.queue import check_judge
from labelapp.labelling.checks.services import GoldRow, gold_add, mix_change
from labelapp.labelling.models import Lease
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import project_draft, project_open
from labelapp.labelling.selectors import seat_of
from labelapp.labelling.services import item_judge

HX = {"HX-Request": "true"}


def opened(owner, people=(), *, n=60, name="Beasts", **fields):
    design = Design(ItemSelection(("tiny",), indices=tuple(range(40))), n=n, seed=1)
    project = project_open(project_draft(name=name, owner=owner, guidelines="G", design=design, **fields))
    for user, role in people:
        project.memberships.create(user=user, role=role)
    return project


def outside(project, n):
    """Directions of the model's own that are no items of the project."""
    rows = Direction.objects.filter(matrix__control="").exclude(items__project=project).order_by("pk")
    return list(rows[:n])


def mix(project, gold=0.0, control=0.0, repeat=0.0, **fields):
    controls = fields.pop("controls", ["gaussian"] if control else [])
    return mix_change(
        project=project, gold_share=gold, control_share=control, repeat_share=repeat, controls=controls, **fields
    )


def gold_of(project, n=20, verdict="interpretable"):
    gold_add(project=project, rows=[GoldRow(it.pk, verdict) for it in outside(project, n)], origin="test")


def plan(project, user):
    checks_plan(seat_of(project, user))
    return seat_of(project, user)


def go(project, user, n, verdict="interpretable", check_verdict=None):
    """Answer the next n cards as the page brings them; what came, "item" or the check's kind."""
    came = []
    for _ in range(n):
        seat = plan(project, user)
        card = queue_state(seat).card
        if card is None:
            break
        if isinstance(card.item, CheckCard):
            said = check_verdict or verdict
            check_judge(check=card.item, user=user, seat=seat, verdict=said, seconds=4)
            came.append(Check.objects.get(pk=card.item.check_id).kind)
        else:
            item_judge(item=card.item, user=user, seat=seat, verdict=verdict, seconds=5)
            Lease.objects.filter(user=user).delete()
            came.append("item")
    return came


def page(client, project, query=""):
    return client.get(reverse("labelling:queue", args=[project.slug]) + query).content.decode()


def post(client, act, project, opaque_id=None, **fields):
    args = [project.slug, opaque_id] if opaque_id else [project.slug]
    return client.post(reverse(f"labelling:{act}", args=args), {"verdict": "interpretable"} | fields, headers=HX)


def shown_on(html):
    """The opaque ids of the card and of the one that comes after it."""
    return re.findall(r'<section class="card"[^>]*data-item="([\w-]+)"', html)


def is_check(opaque_id):
    return Check.objects.filter(opaque_id=opaque_id).exists()


def bring(client, project, *, second=True):
    """Judge until a check stands second (or first) on the page; the page."""
    html = page(client, project)
    for _ in range(40):
        ids = shown_on(html)
        if is_check(ids[second]):
            return html
        html = post(client, "judge", project, ids[0], seen="0").content.decode()
    raise AssertionError("no check came")


def card_of(html):
    return html.split('<section class="card"')[1].split("</section>")[0]


def normal(html):
    html = re.sub(r"(real|gaussian|covariance)\d+[pm]\d+", "TOKEN", html)
    html = re.sub(r'data-item="[\w-]+"|/items/[\w-]+/', "ID", html)
    html = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", html)
    html = re.sub(r"· \d+ (s|min|h \d+ min) left|· \d+ a minute", "", html)  # as quick as the machine just is
    return re.sub(r"\d+", "N", html)


def sql(captured):
    words = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    statements = [it["sql"] for it in captured if it["sql"].split()[0] not in words]
    return [it for it in statements if "django_session" not in it and 'FROM "accounts_user"' not in it]
