from django.urls import path

from labelapp.review import views

app_name = "review"
urlpatterns = [
    path("", views.projects, name="projects"),
    path("<slug:slug>/", views.comparison_page, name="comparison"),
]
