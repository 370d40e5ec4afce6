"""Django's settings, the same for every installation. Only the environment differs (`lathe.env`)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from lathe import addresses, logs, sentry, single_sign_on
from lathe.env import PROJECT_ROOT, Environment, WrongVariable
from lathe.patience import once_more
from lathe.secret_key import kept_in

try:
    LATHE = Environment.read()
    DATABASES = {"default": addresses.database(LATHE.database_url)}
    FILES = addresses.storage(LATHE.storage_url)
    globals().update(addresses.mail(LATHE.email_url))
except WrongVariable as error:
    raise SystemExit(f"Lathe cannot start. {error}") from None

LATHE.var_dir.mkdir(parents=True, exist_ok=True)

# --- the process -----------------------------------------------------------------------------------------------------

DEBUG = LATHE.debug
SECRET_KEY = LATHE.secret_key or kept_in(LATHE.var_dir)
ROOT_URLCONF = "lathe.urls"
ASGI_APPLICATION = "lathe.asgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
# Each by its own name, so that it is recognized by whoever cannot read the page.
LANGUAGES = [("en-gb", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [PROJECT_ROOT / "locale"]
FORMAT_MODULE_PATH = ["lathe.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = LATHE.mail_from
EMAIL_SUBJECT_PREFIX = "[Lathe] "

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "channels",
    "django_dramatiq",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
    "lathe",
    "apps.monitoring",
    "apps.accounts",
    "apps.notifications",
    "apps.models",
    "apps.agents",
    "apps.optimization",
    "apps.guide",
]

MIDDLEWARE = [
    "lathe.logs.RequestIds",
    "lathe.traffic.CountRequests",
    "lathe.proxies.ThroughProxies",
    "django.middleware.security.SecurityMiddleware",
    "lathe.security.ContentSecurityPolicyMiddleware",
    "lathe.static.StaticFilesMiddleware",
    "lathe.compression.CompressedPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.accounts.logins.NoteLogins",
    "apps.accounts.middleware.CurrentTeamMiddleware",
    "apps.accounts.middleware.MemberTimeZone",
    "apps.accounts.middleware.MemberLanguage",
    "lathe.api_headers.ApiHeaders",
    "apps.accounts.idempotency.KeepAnswers",
    "lathe.errors.UserErrorPages",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT_ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- storage ---------------------------------------------------------------------------------------------------------

STORAGES = {
    "default": FILES,
    "staticfiles": {"BACKEND": "lathe.static.HashedFiles"},
}
# Larger uploads are streamed by their view and never held in memory. This limit applies to ordinary forms.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**20
FILE_UPLOAD_TEMP_DIR = None

STATIC_URL = "/static/"
STATIC_ROOT = LATHE.var_dir / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [PROJECT_ROOT / "static"]
DOCS_DIR = PROJECT_ROOT / "docs"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "lathe.static.VendorFinder",
]
# Files are served from the tree and from packages; `collectstatic` is for a proxy that serves them.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_MAX_AGE = 0 if DEBUG else 300

# Each kind of key has its own prefix, so that Redis can restrict workers to theirs (compose.yaml).
CACHES = {
    "default": {
        "BACKEND": "lathe.cache.SharedCache",
        "LOCATION": LATHE.redis_url,
        "KEY_PREFIX": "lathe.cache",
        # In seconds. A page should rather do without Redis than wait.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": once_more()},
    },
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "lathe.channel_layer.PatientLayer",
        "CONFIG": {
            # An open page waits for its next poke in reads of five seconds. With a client that itself gives up after
            # five, every page that saw no change for so long would lose its socket.
            "hosts": [{"address": LATHE.redis_url, "socket_connect_timeout": 1, "socket_timeout": 8}],
            "prefix": "lathe.channels",
            "capacity": 1000,
            "expiry": 30,
        },
    },
}

# --- work ------------------------------------------------------------------------------------------------------------

# Every actor sets its own retries and time limit; these are the middleware that understand the options. A broker of the
# tests must have the same ones, or actors fail at import.
DRAMATIQ_MIDDLEWARE = [
    "dramatiq.middleware.AgeLimit",
    "dramatiq.middleware.TimeLimit",
    "dramatiq.middleware.ShutdownNotifications",
    "dramatiq.middleware.Callbacks",
    "dramatiq.middleware.Retries",
    "django_dramatiq.middleware.DbConnectionsMiddleware",
    "apps.monitoring.carrying.CarriedIds",
    "apps.optimization.housekeeping.Housekeeping",
]
DRAMATIQ_BROKER = {
    "BROKER": "lathe.broker.Broker",
    "OPTIONS": {
        "url": LATHE.redis_url,
        "namespace": "lathe.dramatiq",
        # In ms. A worker whose thread is deep in native code may not beat for a while; were it taken for dead, its
        # message would be delivered a second time. The claim on the step's row is the net below.
        "heartbeat_timeout": 10 * 60 * 1000,
    },
    "MIDDLEWARE": DRAMATIQ_MIDDLEWARE,
}
DRAMATIQ_AUTODISCOVER_MODULES = ["actors"]

# --- people ----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "apps.accounts.authentication.PasswordBackend",
    "apps.accounts.authentication.EmailBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"

ACCOUNT_ADAPTER = "apps.accounts.adapter.InvitationOnlyAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
# An invitation's link has already proved the address.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_EMAIL_SUBJECT_PREFIX = EMAIL_SUBJECT_PREFIX
# One provider at most, from the environment. Only an address that it calls verified opens an account.
SOCIALACCOUNT_ADAPTER = "apps.accounts.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_PROVIDERS = single_sign_on.providers(LATHE.single_sign_on)
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
# A link, because the policy of pages lets no form lead to other hosts. Whoever makes somebody follow it only logs them
# in as themselves.
SOCIALACCOUNT_LOGIN_ON_GET = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Lathe"

KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105 (a model's name)
# Knox's migrations make its own table of tokens even where another model takes its place. That table would refer to our
# people without any model that knows it, and PostgreSQL could not empty the one without the other.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=90),
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_LIMIT_PER_USER": None,
}

# --- the API ---------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "apps.accounts.authentication.TokenScopeAllows",
        "apps.accounts.idempotency.OncePerKey",  # last: it claims the key of a request that may be carried out
    ],
    "DEFAULT_FILTER_BACKENDS": ["lathe.filtering.Filters", "lathe.filtering.Ordering"],
    "DEFAULT_PAGINATION_CLASS": "lathe.pagination.Pages",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Forms only for requests that can include a file (`apps.api.JSON_OR_FORM`).
    "DEFAULT_PARSER_CLASSES": ["lathe.parsing.Json"],
    "DEFAULT_SCHEMA_CLASS": "lathe.schema.Schema",
    "DEFAULT_THROTTLE_CLASSES": [
        "lathe.api_headers.AnonymousLimit",
        "lathe.api_headers.MemberLimit",
    ],
    # `lathe.proxies` has determined the client's address, so no further headers are read.
    "NUM_PROXIES": 0,
    "DEFAULT_THROTTLE_RATES": {"anon": "60/min", "user": "1200/min"},
    "EXCEPTION_HANDLER": "lathe.errors.api_exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Lathe",
    "DESCRIPTION": "Make neural networks smaller and faster, and know that they still work. The API covers all pages.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "TAGS": [
        {"name": "teams", "description": "Your account and logins, your teams, their members and invitations."},
        {"name": "tokens", "description": "Your API tokens, and the service accounts of your teams with theirs."},
        {"name": "models", "description": "Registered models, their versions, and the aliases that point at them."},
        {"name": "data sets", "description": "The examples for measurements, with their labels."},
        {"name": "uploads", "description": "Uploads of any size, in chunks. A lost connection costs one chunk."},
        {"name": "criteria", "description": "What to optimize for: an objective, limits, a target, a budget."},
        {"name": "sessions", "description": "Optimization of a version: start, watch, read the report, promote."},
        {"name": "techniques", "description": "The techniques available on this installation."},
        {"name": "workers", "description": "The workers and their capabilities."},
        {"name": "notifications", "description": "What you are told, where you are told it, and whether it arrived."},
        {"name": "storage", "description": "A team's storage, quota and retention."},
        {"name": "audit", "description": "Who did what, when, and why."},
        {"name": "operations", "description": "The whole installation, for its operators."},
        {"name": "search", "description": "One search over pages, rows and documentation."},
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "lathe.schema.without_titles",
        "lathe.schema.document_problems",
    ],
    # Several kinds of row have a field called `status`.
    "ENUM_NAME_OVERRIDES": {
        # With the labels of the rows; otherwise it is not recognized.
        "Status": [(name, name.capitalize()) for name in ("queued", "running", "completed", "failed", "cancelled")],
        "CandidateStatus": "apps.agents.contracts.state.CandidateStatus",
        "InspectionStatus": "apps.models.models.InspectionStatus",
        "RoleEnum": "apps.accounts.models.Role",
        "ServiceAccountRole": "apps.accounts.serializers.SERVICE_ROLES",
        "AliasRequestStatus": "apps.models.models.RequestStatus",
        "DeliveryStatus": "apps.notifications.models.DeliveryStatus",
        "NotificationKind": "apps.notifications.kinds.CHOICES",
        "ChannelMedium": "apps.notifications.models.Medium",
        "AddableMedium": "apps.notifications.serializers.ADDABLE",
        "StoreBulkAct": [("delete", "delete")],
    },
}

# --- trust -----------------------------------------------------------------------------------------------------------

_base = urlsplit(LATHE.base_url)
ALLOWED_HOSTS = sorted({*LATHE.allowed_hosts, _base.hostname or "localhost"})
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]
SESSION_ENGINE = "lathe.sessions"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LATHE.uses_tls
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(timedelta(days=14).total_seconds())
SECURE_SSL_REDIRECT = LATHE.uses_tls
SECURE_REDIRECT_EXEMPT = [r"^(health|ready|metrics)/$"]
SECURE_HSTS_SECONDS = LATHE.hsts_seconds if LATHE.uses_tls else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if LATHE.behind_proxy else None
SECURE_REFERRER_POLICY = "same-origin"
# The version's page shows Netron in a frame of this host's own.
X_FRAME_OPTIONS = "SAMEORIGIN"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether the domain's other hosts use TLS is its owner's decision, not Lathe's
    "security.W019",  # X-Frame-Options is SAMEORIGIN for Netron's frame
    "security.W021",  # and so is adding the domain to browsers' preload lists
]

LOGGING = logs.configuration(LATHE.log_level, LATHE.log_format)
sentry.start(LATHE.sentry_dsn)
