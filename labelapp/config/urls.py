from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="atlas:models", http_method_names=["get", "head"]), name="home"),
    path("health/", include("labelapp.operations.urls")),
    path("account/", include("labelapp.accounts.urls")),
    path("jobs/", include("labelapp.jobs.urls")),
    path("models/", include("labelapp.atlas.urls")),
    path("runs/", include("labelapp.autolabel.urls")),
    path("label/", include("labelapp.labelling.urls")),
    path("review/", include("labelapp.review.urls")),
    path("figures/", include("labelapp.figures.urls")),
    path("exports/", include("labelapp.exchange.urls")),
    path("imports/", include("labelapp.exchange.import_urls")),
]
