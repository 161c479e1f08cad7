from django.urls import path

from labelapp.review import aggregation_views, gold_views, lab_views, queue_views, truth_views, views

app_name = "review"
urlpatterns = [
    path("", views.projects, name="projects"),
    path("disagreements/", queue_views.disagreements_everywhere, name="disagreements_everywhere"),
    path("disagreements/undo/", queue_views.undo_everywhere, name="undo_everywhere"),
    path("<slug:slug>/", views.comparison_page, name="comparison"),
    path("<slug:slug>/count/", views.count, name="count"),
    path("<slug:slug>/disagreements/", queue_views.disagreements, name="disagreements"),
    path("<slug:slug>/disagreements/undo/", queue_views.undo, name="undo"),
    path("<slug:slug>/disagreements/<str:opaque_id>/", queue_views.item, name="item"),
    path("<slug:slug>/disagreements/<str:opaque_id>/decide/", queue_views.decide, name="decide"),
    path("<slug:slug>/aggregation/", aggregation_views.aggregation, name="aggregation"),
    path("<slug:slug>/aggregation/start/", aggregation_views.start, name="aggregate"),
    path("<slug:slug>/lab/", lab_views.prompt_lab, name="lab"),
    path("<slug:slug>/lab/compute/", lab_views.lab_compute, name="lab_compute"),
    path("<slug:slug>/truth/", truth_views.truths, name="truths"),
    path("<slug:slug>/truth/freeze/", truth_views.freeze, name="freeze"),
    path("<slug:slug>/truth/<slug:name>/<int:version>/", truth_views.truth, name="truth"),
    path("<slug:slug>/truth/<slug:name>/<int:version>/gold/", gold_views.gold, name="gold"),
    path("<slug:slug>/truth/<slug:name>/<int:older>/<int:newer>/", truth_views.difference, name="difference"),
]
