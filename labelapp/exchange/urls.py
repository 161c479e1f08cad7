from django.urls import path

from labelapp.exchange import views

app_name = "exchange"
urlpatterns = [
    path("", views.exports, name="exports"),
    path("start/", views.start, name="start"),
    path("<int:export_id>/", views.download, name="download"),
]
