from django.urls import path

from labelapp.autolabel import views

app_name = "autolabel"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("start/", views.start, name="start"),
    path("<int:run_id>/", views.run, name="run"),
    path("<int:run_id>/retry-failed/", views.retry_failed, name="retry_failed"),
    path("<int:run_id>/progress/", views.progress, name="progress"),
]
