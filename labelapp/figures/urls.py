from django.urls import path

from labelapp.figures import views

app_name = "figures"
urlpatterns = [
    path("", views.index, name="index"),
    path("spectrum/<path:key>", views.spectrum, name="spectrum"),
    path("spectrum.<str:form>/<path:key>", views.spectrum_file, name="spectrum_file"),
    path("fraction.<str:form>/<str:slug>/<str:claim>", views.fraction_file, name="fraction_file"),
]
