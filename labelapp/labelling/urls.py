from django.urls import path

from labelapp.labelling import member_views, progress_views, project_views, queue_views, result_views, views

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
    path("<slug:slug>/progress/", progress_views.progress, name="progress"),
    path("<slug:slug>/progress/items/", progress_views.items, name="items"),
    path("<slug:slug>/plan/", progress_views.plan, name="plan"),
    path("<slug:slug>/quality/", progress_views.quality_page, name="quality"),
    path("<slug:slug>/checks/", progress_views.checks, name="checks"),
    path("<slug:slug>/checks/gold/", progress_views.gold, name="gold"),
    path("<slug:slug>/results/", result_views.results_page, name="results"),
    path("<slug:slug>/results/table.csv", result_views.results_table, name="results_table"),
    path("<slug:slug>/members/", member_views.members, name="members"),
    path("<slug:slug>/members/<int:user_id>/", member_views.member, name="member"),
    path("<slug:slug>/invitations/", member_views.invite, name="invite"),
    path("<slug:slug>/invitations/<int:invitation_id>/revoke/", member_views.revoke, name="revoke"),
    path("<slug:slug>/", queue_views.queue, name="queue"),
    path("<slug:slug>/beat/", queue_views.beat, name="beat"),
    path("<slug:slug>/undo/", queue_views.undo, name="undo"),
    path("<slug:slug>/items/<str:opaque_id>/judge/", queue_views.judge, name="judge"),
    path("<slug:slug>/items/<str:opaque_id>/skip/", queue_views.skip, name="skip"),
    path("<slug:slug>/items/<str:opaque_id>/others/", queue_views.others, name="others"),
]
