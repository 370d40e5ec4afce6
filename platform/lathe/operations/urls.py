from django.urls import path

from lathe.operations import views

app_name = "operations"

urlpatterns = [
    path("operations/", views.page, name="page"),
    path("operations/resume/", views.resume, name="resume"),
    path("operations/verify/", views.verify, name="verify"),
]
