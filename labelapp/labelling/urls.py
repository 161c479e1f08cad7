from django.urls import path

from labelapp.labelling import queue_views, views

app_name = "labelling"
urlpatterns = [
    path("", views.projects, name="projects"),
    path("<slug:slug>/", queue_views.queue, name="queue"),
    path("<slug:slug>/guidelines/", views.guidelines, name="guidelines"),
    path("<slug:slug>/beat/", queue_views.beat, name="beat"),
    path("<slug:slug>/undo/", queue_views.undo, name="undo"),
    path("<slug:slug>/items/<str:opaque_id>/judge/", queue_views.judge, name="judge"),
    path("<slug:slug>/items/<str:opaque_id>/skip/", queue_views.skip, name="skip"),
    path("<slug:slug>/items/<str:opaque_id>/others/", queue_views.others, name="others"),
]
