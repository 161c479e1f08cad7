from django.urls import path

from labelapp.autolabel import audit_views, measure_views, views

app_name = "autolabel"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("start/", views.start, name="start"),
    path("audits/<slug:address>/", audit_views.audits, name="audits"),
    path("audits/<slug:address>/<slug:name>/", audit_views.audit, name="audit"),
    path("<int:run_id>/", views.run, name="run"),
    path("<int:run_id>/retry-failed/", views.retry_failed, name="retry_failed"),
    path("<int:run_id>/measure/", measure_views.measure, name="measure"),
    path("<int:run_id>/progress/", views.progress, name="progress"),
]
