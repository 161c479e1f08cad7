from django.urls import path

from labelapp.labelling import (
    intrusion_test_views,
    intrusion_views,
    member_views,
    project_views,
    queue_views,
    views,
)

app_name = "labelling"
urlpatterns = [
    path("", views.projects, name="projects"),
    # Before the projects: no project may be called so.
    path("new/", project_views.create, name="create"),
    path("join/<str:secret>/", member_views.join, name="join"),
    path("<slug:slug>/guidelines/", project_views.guidelines, name="guidelines"),
    path("<slug:slug>/settings/", project_views.settings, name="settings"),
    path("<slug:slug>/state/", project_views.state, name="state"),
    path("<slug:slug>/explore/", project_views.explore, name="explore"),
    path("<slug:slug>/members/", member_views.members, name="members"),
    path("<slug:slug>/members/<int:user_id>/", member_views.member, name="member"),
    path("<slug:slug>/invitations/", member_views.invite, name="invite"),
    path("<slug:slug>/invitations/<int:invitation_id>/revoke/", member_views.revoke, name="revoke"),
    path("<slug:slug>/tests/", intrusion_test_views.tests, name="tests"),
    path("<slug:slug>/tests/start/", intrusion_test_views.start, name="test_start"),
    path("<slug:slug>/tests/<int:test_id>/", intrusion_test_views.test, name="test"),
    path("<slug:slug>/tests/<int:test_id>/state/", intrusion_test_views.state, name="test_state"),
    path("<slug:slug>/tests/<int:test_id>/ask/", intrusion_test_views.ask, name="test_ask"),
    path("<slug:slug>/tests/<int:test_id>/<slug:name>.csv", intrusion_test_views.table, name="test_table"),
    path("<slug:slug>/tests/<int:test_id>/trials/", intrusion_views.trials, name="trials"),
    path("<slug:slug>/tests/<int:test_id>/trials/beat/", intrusion_views.beat, name="trials_beat"),
    path("<slug:slug>/tests/<int:test_id>/trials/<str:opaque_id>/answer/", intrusion_views.answer, name="trial_answer"),
    path("<slug:slug>/", queue_views.queue, name="queue"),
    path("<slug:slug>/beat/", queue_views.beat, name="beat"),
    path("<slug:slug>/undo/", queue_views.undo, name="undo"),
    path("<slug:slug>/items/<str:opaque_id>/judge/", queue_views.judge, name="judge"),
    path("<slug:slug>/items/<str:opaque_id>/skip/", queue_views.skip, name="skip"),
    path("<slug:slug>/items/<str:opaque_id>/others/", queue_views.others, name="others"),
]
