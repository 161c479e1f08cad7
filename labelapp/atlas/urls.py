from django.urls import path

from labelapp.atlas import model_views, views

app_name = "atlas"
# A key holds slashes, so what is addressed by one stands behind a word; a model's slug holds none.
urlpatterns = [
    path("", views.models, name="models"),
    path("<str:slug>/", model_views.model, name="model"),
    path("search/<str:slug>/", views.search, name="search"),
    path("decompose/<str:slug>/", model_views.decompose, name="decompose"),
    path("matrix/<path:key>", views.matrix, name="matrix"),
    path("direction/<path:key>", views.direction, name="direction"),
    path("compute/<path:key>", views.matrix_compute, name="matrix_compute"),
]
