from django.urls import path

from apps.optimization.views import audit, criteria, dashboard, report, sessions, storage, workers

app_name = "optimization"

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("sessions/", sessions.history, name="session-list"),
    path("sessions/new/", sessions.new, name="session-new"),
    path("sessions/new/preview/", sessions.preview, name="session-preview"),
    path("sessions/new/decides/", sessions.decides, name="session-decides"),
    path("sessions/new/choices/", sessions.choices, name="session-choices"),
    path("sessions/<uuid:pk>/", sessions.detail, name="session-detail"),
    path("sessions/<uuid:pk>/cancel/", sessions.cancel, name="session-cancel"),
    path("sessions/<uuid:pk>/retry/", sessions.retry, name="session-retry"),
    path("sessions/<uuid:pk>/resume/", sessions.resume, name="session-resume"),
    path("sessions/<uuid:pk>/delete/", sessions.delete, name="session-delete"),
    path("sessions/<uuid:pk>/report/", report.report, name="report"),
    path("sessions/<uuid:pk>/recipe/", report.recipe, name="session-recipe"),
    path("sessions/<uuid:pk>/package/", report.package, name="session-package"),
    path("sessions/<uuid:pk>/take/", report.take, name="session-take"),
    path("sessions/<uuid:pk>/promote/", report.promote, name="session-promote"),
    path("sessions/<uuid:pk>/roll-back/", report.roll_back, name="session-rollback"),
    path("criteria/", criteria.listing, name="criteria-list"),
    path("criteria/new/", criteria.new, name="criteria-new"),
    path("criteria/<int:pk>/", criteria.detail, name="criteria-detail"),
    path("criteria/<int:pk>/edit/", criteria.edit, name="criteria-edit"),
    path("storage/", storage.storage, name="storage"),
    path("storage/retention/", storage.retention, name="retention"),
    path("workers/", workers.workers, name="workers"),
    path("audit/", audit.trail, name="audit"),
]
