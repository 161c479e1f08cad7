from django.urls import path

from labelapp.figures import pages, views

app_name = "figures"
urlpatterns = [
    path("", pages.page, name="index"),
    path("machines/", views.machines, name="machines"),
    path("spectrum/<path:key>", views.spectrum, name="spectrum"),
    path("spectrum.<str:form>/<path:key>", views.spectrum_file, name="spectrum_file"),
    path("fraction.<str:form>/<str:slug>/<str:claim>", views.fraction_file, name="fraction_file"),
    path("<slug:name>/", pages.page, name="page"),
    path("<slug:name>/keep/", pages.keep, name="keep"),
    path("<slug:name>/compute/", pages.compute, name="compute"),
    path("<slug:name>/<str:what>.csv", pages.inputs, name="inputs"),
    path("<slug:name>.<str:form>", pages.file, name="file"),
]
