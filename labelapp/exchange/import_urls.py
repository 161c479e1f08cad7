from django.urls import path

from labelapp.exchange import import_views

app_name = "imports"
urlpatterns = [
    path("", import_views.imports, name="imports"),
    path("start/", import_views.start, name="start"),
    path("<int:import_id>/", import_views.detail, name="detail"),
    path("<int:import_id>/progress/", import_views.progress, name="progress"),
]
