from django.urls import path

from labelapp.figures import pages, report_views, views

app_name = "figures"
urlpatterns = [
    path("reports/<slug:slug>/", report_views.reports, name="reports"),
    path("reports/<slug:slug>/start/", report_views.start, name="report_start"),
    path("reports/<slug:slug>/<int:job_id>/", report_views.download, name="report_download"),
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
