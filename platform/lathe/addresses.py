"""Converts URLs in the environment to Django settings: database, files, mail.

Each function takes the variable's value and returns plain settings, or raises `WrongVariable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lathe.env import WrongVariable

if TYPE_CHECKING:
    from botocore.config import Config

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL;"  # readers and the one writer do not wait for each other
    "PRAGMA synchronous=NORMAL;"  # durable if the process crashes; a power failure may lose the last transactions
    "PRAGMA foreign_keys=ON;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA mmap_size=134217728;"
    "PRAGMA journal_size_limit=27103364;"
    "PRAGMA cache_size=2000;"
)
POSTGRES_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "options")
POOLING, SESSION_POOLING, TRANSACTION_POOLING = "pooling", "session", "transaction"
"""Of a pooler such as PgBouncer before the server: how long a client keeps the same connection to the server."""
POOL, LARGEST_POOL = "pool", 1000
"""How many connections one process keeps at most, for whichever thread needs one next."""
POOL_PATIENCE_S = 3.0
"""How long a thread waits for one. Then the database counts as unavailable."""
POSTGRES_PATIENCE = {
    # In seconds: a server that hangs counts as unavailable.
    "connect_timeout": "3",
    # Detects a server that vanished with its network even during a query: in seconds, and milliseconds.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
S3_OPTIONS = {"endpoint": "endpoint_url", "region": "region_name"}
S3_ADDRESSING, S3_ADDRESSINGS = "addressing", ("auto", "path", "virtual")
S3_PATIENCE: dict[str, Any] = {
    # In seconds, and three tries in all. The library's own are a minute each and five: a page would wait for minutes.
    "connect_timeout": 3,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
S3_MEMORY_BYTES = 8 * 2**20
"""Of a file that is read, what is kept in memory; the rest waits in a temporary file."""


def database(url: str) -> dict[str, Any]:
    """One entry of `DATABASES`: `sqlite:///path` or `postgres://user:password@host:port/name?sslmode=…`, with
    `pool=20` if each process is to keep up to so many connections (otherwise each request and message opens its own),
    and with `pooling=transaction` if the host is a pooler in that mode.
    """
    parts = urlsplit(url)
    name = unquote(parts.path)
    if parts.scheme == "sqlite":
        name = name[1:]
        if parts.netloc or not name.startswith("/"):
            raise WrongVariable("DATABASE_URL", url, "write sqlite:/// and an absolute path: sqlite:////srv/lathe.db")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            # Immediate: a writing transaction takes the lock at its start, so it waits there (timeout, in seconds)
            # and cannot fail halfway with "database is locked".
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": SQLITE_PRAGMAS},
        }
    options = dict(parse_qsl(parts.query))
    pooling, pool = options.pop(POOLING, SESSION_POOLING), options.pop(POOL, "0")
    strangers = options.keys() - set(POSTGRES_OPTIONS)
    known_pooling = pooling in (SESSION_POOLING, TRANSACTION_POOLING)
    known_pool = pool.isascii() and pool.isdecimal() and int(pool) <= LARGEST_POOL
    if strangers or len(name) < 2 or not (known_pooling and known_pool):
        known = ", ".join((*POSTGRES_OPTIONS, f"{POOL}=20", f"{POOLING}={TRANSACTION_POOLING}"))
        shown = parts._replace(netloc=parts.hostname or "").geturl()
        raise WrongVariable(
            "DATABASE_URL", shown, f"write postgres://user:password@host:5432/name. Allowed after the ?: {known}."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name[1:],
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": POSTGRES_PATIENCE | options | _pool(int(pool)),
        # One that waited in the pool may have lost its server meanwhile, and is then replaced.
        "CONN_HEALTH_CHECKS": int(pool) > 0,
        # A cursor of the server outlives its statement, but between two statements the pooler may give this client
        # another of its connections.
        "DISABLE_SERVER_SIDE_CURSORS": pooling == TRANSACTION_POOLING,
    }


def _pool(most: int) -> dict[str, Any]:
    """Of Django's backend. What nobody needs for ten minutes is closed."""
    return {"pool": {"min_size": 0, "max_size": most, "timeout": POOL_PATIENCE_S}} if most else {}


def storage(url: str) -> dict[str, Any]:
    """One entry of `STORAGES`: a folder (`file:///srv/lathe`) or a bucket (`s3://bucket/prefix?endpoint=…&region=…`).

    The bucket's client finds its credentials itself: in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in the
    machine's role.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise WrongVariable("STORAGE_URL", url, "write file:// and an absolute path: file:///srv/lathe/files")
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": unquote(parts.path), "file_permissions_mode": 0o640},
        }
    given = dict(parse_qsl(parts.query))
    addressing = given.pop(S3_ADDRESSING, "auto")
    if given.keys() - S3_OPTIONS.keys() or addressing not in S3_ADDRESSINGS:
        known = ", ".join((*S3_OPTIONS, f"{S3_ADDRESSING}={'|'.join(S3_ADDRESSINGS)}"))
        raise WrongVariable("STORAGE_URL", url, f"allowed after the ?: {known}.")
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": parts.netloc,
            "location": unquote(parts.path.strip("/")),
            **{S3_OPTIONS[name]: value for name, value in given.items()},
            "querystring_auth": True,
            "file_overwrite": True,
            "default_acl": None,
            "max_memory_size": S3_MEMORY_BYTES,
            "client_config": _s3_client(addressing),
        },
    }


def _s3_client(addressing: str) -> Config:
    from botocore.config import Config  # imported here because only installations with a bucket need it

    return Config(s3={"addressing_style": addressing}, signature_version="s3v4", **S3_PATIENCE)


def mail(url: str) -> dict[str, Any]:
    """Django's EMAIL_* settings: `smtp://` (STARTTLS), `smtps://`, `console:` or a folder (`file:///srv/mail`)."""
    parts = urlsplit(url)
    if parts.scheme == "console":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise WrongVariable("EMAIL_URL", url, "write file:// and an absolute path: file:///srv/lathe/mail")
        return {
            "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "EMAIL_FILE_PATH": unquote(parts.path),
        }
    if not parts.hostname:
        raise WrongVariable("EMAIL_URL", url, "write smtps://user:password@mail.example.org:465")
    tls = parts.scheme == "smtps"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if tls else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": tls,
        # Mail to this machine's own relay stays on this machine. Any other connection is encrypted.
        "EMAIL_USE_TLS": not tls and parts.hostname not in ("localhost", "127.0.0.1", "::1"),
        "EMAIL_TIMEOUT": 20,
    }
