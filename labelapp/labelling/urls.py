from django.urls import path

from labelapp.labelling import views

app_name = "labelling"
urlpatterns = [
    path("", views.projects, name="projects"),
    path("<slug:slug>/", views.queue, name="queue"),
    path("<slug:slug>/guidelines/", views.guidelines, name="guidelines"),
    path("<slug:slug>/undo/", views.undo, name="undo"),
    path("<slug:slug>/items/<str:opaque_id>/judge/", views.judge, name="judge"),
    path("<slug:slug>/items/<str:opaque_id>/skip/", views.skip, name="skip"),
]
