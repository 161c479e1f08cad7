"""A project's report: its numbers are those of the pages, it needs no network, and it is whole or not there."""

import io
import re
import zipfile
from html import unescape as html_unescape

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.figures import report_files
from labelapp.figures.estimates import estimates
from labelapp.figures.project_report import Gap, gap_sentence, project_report
from labelapp.figures.query import Query
from labelapp.figures.report import ReportError
from labelapp.figures.report_files import report_to_folder
from labelapp.figures.report_words import controls_words
from labelapp.figures.words import percent
from labelapp.jobs.models import Job, State
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judge_ensure, verification_record
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.services import project_create
from labelapp.review.selectors import comparison
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from labelapp.statistics.repeats import nominal_alpha
from tests.factories import DirectionFactory, MatrixFactory, machine_says
from tests.figures.conftest import NO, YES, Census
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db
PLOT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><clipPath id="c1"/><g clip-path="url(#c1)"/></svg>'
)


@pytest.fixture
def project(census, owner, reviewer):
    """120 of 160 ends, all judged by the owner, 40 by the reviewer too, who says yes to each."""
    project = census.project(owner, n=120)
    Membership.objects.create(project=project, user=reviewer, role="reviewer")
    for item in project.items.order_by("position")[:40]:
        census.person_says(project, item.direction_id, reviewer, "interpretable")
    return project


@pytest.fixture
def quick(monkeypatch):
    """Plots are drawn by another process, which the tests of the files alone need not wait for."""
    monkeypatch.setattr(report_files, "_drawn", lambda spec: PLOT)


def test_the_numbers_are_those_of_the_pages(project, owner, quick, tmp_path):
    truth = truth_freeze(project=project, name="first", rule=truth_rule("agreed", 2), user=owner).truth
    folder = tmp_path / "report"
    report_to_folder(project, folder)
    html, text = ((folder / name).read_text() for name in ("report.html", "report.md"))
    (machine,) = comparison(project).tables
    found = estimates(Query(project=project.slug))
    recommended = found.recommended.estimate
    for page in (html, text):
        assert f"{machine.crossing.n}" in page and f"{machine.crossing.kappa:.2f} (95 % interval" in page
        assert percent(recommended.value) in page and f"{100 * recommended.low:.1f} to" in page
        assert truth.content_hash in page and "person 1" in page and "owner" not in page
        assert "2 people judged 120 items blind" in page
        assert "drawn (a simple random sample of 120 directions, seed 1)" in page
    assert re.search(r"<td>person 2</td>.*?<td class=\"num\">40</td>", html, re.S)
    assert (folder / "figures" / "estimates.svg").read_text() == PLOT
    # Several plots stand in one page: their ids are apart.
    assert 'id="estimates-c1"' in html and "url(#layers-c1)" in html


def test_agreement_is_whole(project, quick, tmp_path):
    """Of people among themselves and beside the machine: n, cells, every coefficient with its interval, prevalence."""
    found = project_report(project, draw=lambda spec: PLOT, progress=lambda words: None)
    people, (machine,) = found.people_card, found.machines
    said = dict(comparison(project).people)
    both = [[it.verdict == "interpretable" for it in opinions] for opinions in said.values() if len(opinions) == 2]
    assert (people.n, people.verdicts, people.left_out) == (40, 80, 80)
    assert people.raw.value == pytest.approx(sum(a == b for a, b in both) / 40)
    assert people.alpha.value == pytest.approx(nominal_alpha(both))
    assert people.prevalence == pytest.approx(sum(map(sum, both)) / 80)
    report_to_folder(project, tmp_path / "whole")
    for name in ("report.html", "report.md"):
        page = html_unescape((tmp_path / "whole" / name).read_text())
        assert "40 items that two people or more judged blind, with 80 verdicts in all" in page
        for it in (people.raw, people.alpha, people.ac1, machine.card.raw, machine.card.kappa, machine.card.ac1):
            assert f"{it.value:.2f} (95 % interval {it.low:.2f} to {it.high:.2f})" in page
        assert f"the prevalence of yes is {people.prevalence:.2f}" in page
        assert "{:.2f}, {:.2f}".format(*machine.card.yes_shares) in page
        assert "5 % by construction" in page, "of the offline baseline, which judged no control"
        for row in machine.card.table:
            assert all(re.search(rf"[>|] ?{n} ?[<|]", page) for n in row)
        assert "tiny tiny MLP-in" not in page and "tiny MLP-in, machine" in page


def test_a_machines_controls_are_those_of_the_models_wherever_they_were_judged(census, project):
    """None of the project's items is a control; the machine says yes to 3 of 16 ends of noise elsewhere."""
    noise = MatrixFactory(model=census.model, circuit="mlp_in", head=None, layer=0, address="noise", control="gaussian")
    ends = [DirectionFactory(matrix=noise, side="read", index=index, sign=sign) for index in range(8) for sign in "+-"]
    census.machine_says({it.pk: YES if place < 3 else NO for place, it in enumerate(ends)})
    (machine,) = project_report(project, draw=lambda spec: PLOT, progress=lambda words: None).machines
    assert (machine.on_controls.yes, machine.on_controls.n, machine.on_controls.clusters) == (3, 16, 8)
    assert controls_words(machine).startswith("3 of 16, 18.8 % (95 % interval")


def test_the_rules_of_every_machine_with_a_verifier(census, project, tmp_path, quick):
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    for name in ("one", "two"):
        judge = machine_says(dict.fromkeys(Direction.objects.all(), YES), name=name, type="prompt")
        for row in Judgement.objects.filter(judge=judge):
            verification_record(judgement=row, judge=verifier, answer="yes")
    found = project_report(project, draw=lambda spec: PLOT, progress=lambda words: None)
    assert [it.of for it in found.figures if it.kind.name == "rules"] == ["one", "two"]
    assert len({it.name for it in found.figures}) == len(found.figures)
    call_command("report", "--project", project.slug, "--judge", "machine", "--out", str(tmp_path / "r"))
    assert (tmp_path / "r" / "figures" / "rules.svg").exists()
    with pytest.raises(CommandError, match="There is no machine judge 'nobody'"):
        call_command("report", "--project", project.slug, "--judge", "nobody", "--out", str(tmp_path / "x"))


def test_a_report_on_a_project_without_a_selection_says_of_what_its_figure_is(census, owner, quick, tmp_path):
    project = project_create(name="Old", owner=owner, directions=Direction.objects.all(), guidelines="Judge.", n=40)
    for item in project.items.all():
        census.person_says(project, item.direction_id, owner)
    report_to_folder(project, tmp_path / "report")
    for name in ("report.html", "report.md"):
        methods = (tmp_path / "report" / name).read_text().partition("Who judged")[0]
        assert "Of the 40 ends that people judged in Old" in methods and "keeps no selection" in methods
        assert "this census" not in methods


def test_names_only_where_they_are_asked_for(project, quick, tmp_path):
    report_to_folder(project, tmp_path / "named", with_names=True)
    html = (tmp_path / "named" / "report.html").read_text()
    assert "<td>owner</td>" in html and "person 1" not in html


def test_an_empty_project_has_a_report_too(census, owner, quick, tmp_path):
    project = census.project(owner, n=10, judged=0)
    report_to_folder(project, tmp_path / "empty")
    html = (tmp_path / "empty" / "report.html").read_text()
    assert "Nobody has judged anything in this project yet." in html and "is not defined: no two people" in html
    text = (tmp_path / "empty" / "report.md").read_text()
    assert "Nobody has judged any of them yet" in html and "0 people" not in html + text
    for heading in re.findall(r"^## (.*)\n+(?=## |\Z)", text, re.M):
        raise AssertionError(f"nothing stands below {heading!r}")


def test_it_is_whole_or_not_there(project, quick, tmp_path, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("kept")
    with pytest.raises(ReportError, match="is there already and not empty; name a folder that is new"):
        report_to_folder(project, full)
    assert [it.name for it in full.iterdir()] == ["mine.txt"]
    with pytest.raises(ReportError, match="make it first"):
        report_to_folder(project, tmp_path / "no" / "such")
    empty = tmp_path / "empty"
    empty.mkdir()
    report_to_folder(project, empty)
    assert {it.name for it in empty.iterdir()} == {"report.html", "report.md", "figures"}

    def broken(found):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_files, "report_html", broken)
    with pytest.raises(ReportError, match="No space left"):
        report_to_folder(project, tmp_path / "broken")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["empty", "full"]


def test_the_command(project, quick, tmp_path, capsys):
    call_command("report", "--project", project.slug, "--out", str(tmp_path / "r"))
    assert "report.html" in capsys.readouterr().out and (tmp_path / "r" / "report.md").exists()
    for options, sentence in (
        (["--project", "nowhere", "--out", str(tmp_path / "x")], "There is no project 'nowhere'; there is: sample"),
        (["--project", project.slug], "wants both --project and --out"),
        (["--project", project.slug, "--out", str(tmp_path / "x"), "--json"], "leave them out"),
        (["--project", project.slug, "--out", str(tmp_path / "r")], "not empty"),
    ):
        with pytest.raises(CommandError, match=sentence):
            call_command("report", *options)


def test_the_gap_between_the_posts_rule_and_the_released_arrays():
    sentence = gap_sentence(Gap("text-davinci-002, released", 4320, 2523, 3042, 519))
    assert "2,523 of 4,320 directions are interpretable, 58.4 % (95 % interval 56.9 to 59.9 %)" in sentence
    assert (
        "3,042 of 4,320, 70.4 %" in sentence and "gap of 12.0 points is the verifier's yes to 519 answers" in sentence
    )


def test_imported_labels_state_the_gap(db, owner, tmp_path, quick):
    from labelapp.exchange.imports import labels_import, labels_read
    from labelapp.labelling.projects.services import project_create
    from tests.exchange.released_files import pairs_write

    labels_import(labels_read(pairs_write(tmp_path / "released")), name="released")
    project = project_create(name="Imported", owner=owner, directions=Direction.objects.all(), guidelines="Judge.")
    Census.person_says(Census.__new__(Census), project, project.items.first().direction_id, owner, "interpretable")
    report_to_folder(project, tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text()
    assert "The post&#x27;s rule and the released arrays" in html or "The post's rule and the released arrays" in html
    assert "by the rule that the post&#x27;s text states (both)" in html


def test_it_opens_without_a_network(project, tmp_path, page, browser_errors):
    """Drawn for real: nothing leaves, nothing is refused, the plots are there."""
    report_to_folder(project, tmp_path / "report")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    address = (tmp_path / "report" / "report.html").as_uri()
    page.goto(address)
    assert asked == [address] and browser_errors == []
    assert page.locator("figure svg").count() >= 2
    assert page.locator("#methods + p").inner_text().startswith("120 items were drawn")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("reviewer", 200), ("annotator", 403), ("outsider", 404)])
def test_owner_and_reviewer_only(project, annotator, who, status, request, client_of):
    Membership.objects.create(project=project, user=annotator, role="annotator")
    client = client_of(request.getfixturevalue(who))
    addresses = [reverse(f"figures:{name}", args=[project.slug]) for name in ("reports", "report_start")]
    assert client.get(addresses[0]).status_code == status
    assert client.post(addresses[1]).status_code == (302 if status == 200 else status)


def test_somebody_elses_report_is_not_found(project, owner_client, reviewer_client):
    owner_client.post(reverse("figures:report_start", args=[project.slug]))
    job = Job.objects.get(task=report_files.REPORT_TASK)
    address = reverse("figures:report_download", args=[project.slug, job.pk])
    assert reviewer_client.get(address).status_code == 404
    assert owner_client.get(address).url == reverse("figures:reports", args=[project.slug])  # not written yet
    assert owner_client.get(reverse("figures:report_start", args=[project.slug])).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_a_report_as_a_job(worker, client_of, make_user):
    owner = make_user("owner")
    project = Census(layers=2, vectors=6).project(owner, n=20)
    client = client_of(owner)
    client.post(reverse("figures:report_start", args=[project.slug]))
    job = Job.objects.get(task=report_files.REPORT_TASK)
    wait_for(lambda: Job.objects.get(pk=job.pk).state in (State.DONE, State.FAILED))
    assert Job.objects.get(pk=job.pk).state == State.DONE, Job.objects.get(pk=job.pk).error
    page = client.get(reverse("figures:reports", args=[project.slug])).content.decode()
    address = reverse("figures:report_download", args=[project.slug, job.pk])
    assert address in page
    packed = zipfile.ZipFile(io.BytesIO(b"".join(client.get(address).streaming_content)))
    names = set(packed.namelist())
    assert {"sample-report/report.html", "sample-report/report.md", "sample-report/figures/estimates.svg"} <= names
    assert Project.objects.get().name in packed.read("sample-report/report.html").decode()
