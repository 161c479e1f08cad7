from django.urls import path

from labelapp.autolabel import audit_views, measure_views, planned_views, prompt_views, views

app_name = "autolabel"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("start/", views.start, name="start"),
    path("new/", planned_views.new, name="new"),
    path("price/", planned_views.price, name="price"),
    path("planned/<int:planned_id>/", planned_views.planned, name="planned"),
    path("planned/<int:planned_id>/progress/", planned_views.planned_progress, name="planned_progress"),
    path("planned/<int:planned_id>/start/", planned_views.planned_start_view, name="planned_start"),
    path("prompts/", prompt_views.prompts, name="prompts"),
    path("prompts/new/", prompt_views.new, name="prompt_new"),
    path("prompts/preview/", prompt_views.preview, name="prompt_preview"),
    path("prompts/<str:name>/<int:version>/", prompt_views.prompt, name="prompt"),
    path("audits/<slug:address>/", audit_views.audits, name="audits"),
    path("audits/<slug:address>/<slug:name>/", audit_views.audit, name="audit"),
    path("<int:run_id>/", views.run, name="run"),
    path("<int:run_id>/resume/", views.resume, name="resume"),
    path("<int:run_id>/retry-failed/", views.retry_failed, name="retry_failed"),
    path("<int:run_id>/measure/", measure_views.measure, name="measure"),
    path("<int:run_id>/progress/", views.progress, name="progress"),
]
