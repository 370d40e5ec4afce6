"""All URLs of the portal."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.cache import never_cache

from apps.accounts.views import single_sign_on
from apps.accounts.views.account import address_is_fixed, language
from lathe.document import DocumentView, reference
from lathe.metrics import metrics
from lathe.readiness import ready


@login_not_required
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """For load balancers: the process responds."""
    return JsonResponse({"status": "ok"})


# The admin uses the portal's login, with its second factor and its limit on wrong passwords.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("health/", health, name="health"),
    path("ready/", ready, name="ready"),
    path("metrics/", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("accounts/email/", address_is_fixed),
    path("language/", language, name="set_language"),
    path("accounts/oidc/<str:provider_id>/login/", single_sign_on.begin),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", include("lathe.api")),
    path("api/schema/", DocumentView.as_view(), name="api-schema"),
    path("api/docs/", reference, name="api-docs"),
    path("", include("apps.accounts.urls")),
    path("", include("apps.notifications.urls")),
    path("", include("apps.models.urls")),
    path("", include("apps.optimization.urls")),
    path("", include("apps.guide.urls")),
    path("", include("lathe.operations.urls")),
]

handler400 = "lathe.errors.bad_request"
handler403 = "lathe.errors.permission_denied"
handler404 = "lathe.errors.page_not_found"
handler500 = "lathe.errors.server_error"
