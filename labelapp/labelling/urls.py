from django.urls import path

from labelapp.labelling import queue_views
from labelapp.labelling.members import views as members
from labelapp.labelling.progress import result_views
from labelapp.labelling.progress import views as progress
from labelapp.labelling.projects import views as projects
from labelapp.labelling.trials import test_views as tests
from labelapp.labelling.trials import views as trials

app_name = "labelling"
urlpatterns = [
    path("", projects.listed, name="projects"),
    # Before the projects: no project may be called so.
    path("new/", projects.create, name="create"),
    path("join/<str:secret>/", members.join, name="join"),
    path("<slug:slug>/guidelines/", projects.guidelines, name="guidelines"),
    path("<slug:slug>/settings/", projects.settings, name="settings"),
    path("<slug:slug>/state/", projects.state, name="state"),
    path("<slug:slug>/explore/", projects.explore, name="explore"),
    path("<slug:slug>/progress/", progress.progress, name="progress"),
    path("<slug:slug>/progress/items/", progress.items, name="items"),
    path("<slug:slug>/plan/", progress.plan, name="plan"),
    path("<slug:slug>/quality/", progress.quality_page, name="quality"),
    path("<slug:slug>/checks/", progress.checks, name="checks"),
    path("<slug:slug>/checks/gold/", progress.gold, name="gold"),
    path("<slug:slug>/results/", result_views.results_page, name="results"),
    path("<slug:slug>/results/table.csv", result_views.results_table, name="results_table"),
    path("<slug:slug>/members/", members.members, name="members"),
    path("<slug:slug>/members/<int:user_id>/", members.member, name="member"),
    path("<slug:slug>/invitations/", members.invite, name="invite"),
    path("<slug:slug>/invitations/<int:invitation_id>/revoke/", members.revoke, name="revoke"),
    path("<slug:slug>/tests/", tests.tests, name="tests"),
    path("<slug:slug>/tests/start/", tests.start, name="test_start"),
    path("<slug:slug>/tests/<int:test_id>/", tests.test, name="test"),
    path("<slug:slug>/tests/<int:test_id>/state/", tests.state, name="test_state"),
    path("<slug:slug>/tests/<int:test_id>/ask/", tests.ask, name="test_ask"),
    path("<slug:slug>/tests/<int:test_id>/<slug:name>.csv", tests.table, name="test_table"),
    path("<slug:slug>/tests/<int:test_id>/trials/", trials.trials, name="trials"),
    path("<slug:slug>/tests/<int:test_id>/trials/beat/", trials.beat, name="trials_beat"),
    path("<slug:slug>/tests/<int:test_id>/trials/<str:opaque_id>/answer/", trials.answer, name="trial_answer"),
    path("<slug:slug>/", queue_views.queue, name="queue"),
    path("<slug:slug>/beat/", queue_views.beat, name="beat"),
    path("<slug:slug>/undo/", queue_views.undo, name="undo"),
    path("<slug:slug>/items/<str:opaque_id>/judge/", queue_views.judge, name="judge"),
    path("<slug:slug>/items/<str:opaque_id>/skip/", queue_views.skip, name="skip"),
    path("<slug:slug>/items/<str:opaque_id>/others/", queue_views.others, name="others"),
]
