from django.urls import path

from apps.guide import views, views_tour

app_name = "guide"

urlpatterns = [
    path("find/", views.search, name="find"),
    path("styleguide/", views.styleguide, name="styleguide"),
    path("tour/", views_tour.move, name="tour"),
    path("docs/", views.listing, name="documents"),
    path("docs/<slug:name>/", views.document, name="document"),
    path("docs/files/<path:name>", views.file, name="file"),
]
