"""The environment, read once: every variable with its type, its default, and a message for an invalid value.

Nothing else in the project reads `os.environ`. This module does not use Django, so it can be tested without settings.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import ClassVar
from urllib.parse import SplitResult, quote, urlsplit

from apps.agents.contracts.sandbox import SandboxRule

PROJECT_ROOT = Path(__file__).resolve().parents[2]
QUEUES = ("default", "checks", "cpu", "gpu")
LOG_FORMATS = ("auto", "text", "json")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SIZE_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
HIGHEST_CORE = 4095
LONGEST_QUIET_WAIT_S = 600
LONGEST_TIMING_S = 600
SOCKET_PATH_LIMIT_BYTES = 100
"""A unix socket's path is limited to 107 bytes on Linux and 103 elsewhere; some are reserved for suffixes of tools."""


class WrongVariable(ValueError):
    """A variable with an invalid value. The message contains its name, its value and what to write instead."""

    def __init__(self, name: str, value: str, write: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"{name} is {value!r}, which is invalid: {write}")


class Reader:
    """Typed access to environment variables. An unset or empty variable has its default; an invalid one raises."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def given(self, name: str) -> str | None:
        """The variable without surrounding space, or `None` if it is unset or empty."""
        self.names.add(name)
        return self._variables.get(name, "").strip() or None

    def text(self, name: str, default: str, *, min_length: int = 0) -> str:
        value = self.given(name)
        if value is None:
            return default
        if len(value) < min_length:
            raise WrongVariable(name, "*" * len(value), f"write at least {min_length} characters.")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.given(name)
        if value is None:
            return default
        if value.lower() in ("1", "true", "yes", "on"):
            return True
        if value.lower() in ("0", "false", "no", "off"):
            return False
        raise WrongVariable(name, value, "write 1 or 0 (or true/false, yes/no, on/off).")

    def whole(self, name: str, default: int, *, at_least: int = 0, at_most: int | None = None) -> int:
        value = self.given(name)
        if value is None:
            return default
        bounds = f"from {at_least} to {at_most}" if at_most is not None else f"of {at_least} or more"
        try:
            number = int(value)
        except ValueError:
            raise WrongVariable(name, value, f"write a whole number {bounds}.") from None
        if number < at_least or (at_most is not None and number > at_most):
            raise WrongVariable(name, value, f"write a whole number {bounds}.")
        return number

    def size_bytes(self, name: str, default: int) -> int:
        """A number of bytes, with an optional unit: `500MB` is 500·10⁶, `8GiB` is 8·2³⁰."""
        value = self.given(name)
        if value is None:
            return default
        digits = value.rstrip("BKMGIbkmgi ")
        unit = SIZE_UNITS.get(value[len(digits) :].strip().upper() or "B")
        if unit is None or not digits.isdecimal() or int(digits) == 0:
            raise WrongVariable(name, value, "write a size such as 500MB or 8GiB.")
        return int(digits) * unit

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.given(name)
        if value is None:
            return default
        for one in choices:
            if one.lower() == value.lower():
                return one
        raise WrongVariable(name, value, f"write one of {', '.join(choices)}.")

    def words(self, name: str, default: tuple[str, ...], *, choices: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A comma-separated list. With `choices`, each word must be one of them."""
        value = self.given(name)
        if value is None:
            return default
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        strangers = [word for word in words if choices and word not in choices]
        if strangers or not words:
            known = f" out of {', '.join(choices)}" if choices else ""
            raise WrongVariable(name, value, f"write a comma-separated list{known}, such as {','.join(default)}.")
        return words

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """A comma-separated list of addresses and networks; empty if not given."""
        words = self.words(name, ())
        try:
            return tuple(ipaddress.ip_network(word) for word in words)
        except ValueError:
            write = "write comma-separated addresses or networks, such as 127.0.0.1,10.0.7.0/24."
            raise WrongVariable(name, ",".join(words), write) from None

    def cores(self, name: str) -> tuple[int, ...]:
        """Core numbers and ranges in Linux's notation; empty if not given."""
        cores: set[int] = set()
        for word in self.words(name, ()):
            match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word, re.ASCII)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if not first <= last <= HIGHEST_CORE:
                write = "write comma-separated core numbers or ranges, such as 2-3,6."
                raise WrongVariable(name, self._variables[name].strip(), write)
            cores.update(range(first, last + 1))
        return tuple(sorted(cores))

    def path(self, name: str, default: Path) -> Path:
        value = self.given(name)
        if value is None:
            return default
        path = Path(value).expanduser()
        if not path.is_absolute():
            raise WrongVariable(name, value, f"write an absolute path, such as {default}.")
        return path

    def url(self, name: str, default: str, *, schemes: tuple[str, ...], example: str) -> str:
        """A URL with one of `schemes`. The error message hides a password."""
        value = self.given(name)
        if value is None:
            return default
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise WrongVariable(name, value, f"write an address such as {example}") from None
        if parts.scheme not in schemes:
            known = ", ".join(f"{scheme}:" for scheme in schemes)
            raise WrongVariable(name, _without_password(parts), f"it must begin with {known} such as {example}")
        if parts.scheme in ("http", "https", "redis", "rediss", "s3") and not parts.netloc:
            raise WrongVariable(name, value, f"write an address with a host, such as {example}")
        return value


def _without_password(parts: SplitResult) -> str:
    if parts.password is None:
        return parts.geturl()
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """The identity provider through which people may log in. It speaks OpenID Connect."""

    issuer: str
    """LATHE_OIDC_ISSUER: its address; below it is `/.well-known/openid-configuration`."""
    client_id: str
    """LATHE_OIDC_CLIENT_ID: the name that it knows the portal by."""
    client_secret: str
    """LATHE_OIDC_CLIENT_SECRET."""
    name: str
    """LATHE_OIDC_NAME: what people call it, on the button."""
    domains: tuple[str, ...]
    """LATHE_OIDC_DOMAINS: the domains of addresses that get an account without an invitation."""
    key: ClassVar[str] = "sso"
    """Its name in addresses: `/accounts/oidc/sso/login/callback/` is what the provider has to know."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The operator's configuration. Each field names its variable; docs/deployment.md has the same list as a table."""

    var_dir: Path
    """LATHE_VAR_DIR: the folder of the embedded database, Redis, files and mail."""
    secret_key: str | None
    """LATHE_SECRET_KEY: signs sessions and links; `None` means the key stored in `var_dir`."""
    debug: bool
    """LATHE_DEBUG: tracebacks on pages. Never set it on a machine that others can reach."""
    allowed_hosts: tuple[str, ...]
    """LATHE_ALLOWED_HOSTS: the host names that the portal responds to."""
    base_url: str
    """LATHE_BASE_URL: the portal's URL for members; links in mails begin with it."""
    base_url_is_given: bool
    behind_proxy: bool
    """LATHE_BEHIND_PROXY: trust X-Forwarded-Proto, because a proxy in front sets it."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    """LATHE_TRUSTED_PROXIES: the proxies whose X-Forwarded-For is trusted, so that limits apply per client."""
    hsts_seconds: int
    """LATHE_HSTS_SECONDS: how long browsers require TLS, once `base_url` begins with https."""
    database_url: str
    """DATABASE_URL: sqlite or postgres."""
    redis_url: str
    """REDIS_URL: broker and channel layer; unset means the bundled server on a private unix socket."""
    redis_is_embedded: bool
    storage_url: str
    """STORAGE_URL: where model files, data sets and artifacts are kept: a folder or an S3 bucket."""
    email_url: str
    """EMAIL_URL: how mail is sent: smtp, smtps, console, or a folder."""
    mail_from: str
    """LATHE_MAIL_FROM: the sender of invitations and notices."""
    webhook_networks: tuple[IPv4Network | IPv6Network, ...]
    """LATHE_WEBHOOK_NETWORKS: networks that webhooks and chats of members may reach although they are not public."""
    queues: tuple[str, ...]
    """LATHE_QUEUES: the queues that this machine's workers serve."""
    metrics_token: str | None
    """LATHE_METRICS_TOKEN: whoever sends it may read `/metrics/`."""
    metrics_networks: tuple[IPv4Network | IPv6Network, ...]
    """LATHE_METRICS_NETWORKS: the addresses that may read `/metrics/` without a token."""
    needed_queues: tuple[str, ...]
    """LATHE_NEEDED_QUEUES: the queues without which the installation is not ready (`/ready/`)."""
    step_memory_bytes: int
    """LATHE_STEP_MEMORY: the most memory one step's process may take on this machine."""
    cores: tuple[int, ...]
    """LATHE_CORES: the cores that this machine's workers measure on; empty means all they may use."""
    quiet_wait_s: int
    """LATHE_QUIET_WAIT_S: how long a measurement may wait for the machine to become quiet."""
    timing_s: int
    """LATHE_TIMING_S: how long one candidate is timed beside the original at most."""
    sandbox: SandboxRule
    """LATHE_SANDBOX: whether steps may run where the system cannot close them in."""
    upload_limit_bytes: int
    """LATHE_UPLOAD_LIMIT: the largest file a member may upload."""
    signing_key: Path | None
    """LATHE_SIGNING_KEY: the file with the private key that signs packages; `None` means that they are not signed."""
    log_level: str
    """LATHE_LOG_LEVEL."""
    log_format: str
    """LATHE_LOG_FORMAT: text or JSON; `auto` means text on a terminal and JSON elsewhere."""
    sentry_dsn: str | None
    """LATHE_SENTRY_DSN: where errors are reported; `None` means nowhere."""
    single_sign_on: SingleSignOn | None
    """LATHE_OIDC_ISSUER and its siblings; `None` means that people log in with passwords only."""
    names: frozenset[str]
    """The names of all known variables."""

    @property
    def uses_tls(self) -> bool:
        return self.base_url.startswith("https://")

    @property
    def largest_step_file_bytes(self) -> int:
        """The most bytes of one file that a step writes: an upload of whole numbers may become one of floats."""
        return 4 * self.upload_limit_bytes

    @property
    def redis_socket(self) -> Path:
        """The unix socket of the bundled Redis."""
        return redis_socket(self.var_dir)

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Reads `variables` (by default the process's own). Raises `WrongVariable`."""
        reader = Reader(os.environ if variables is None else variables)
        var_dir = reader.path("LATHE_VAR_DIR", PROJECT_ROOT / "var")
        redis_given = reader.given("REDIS_URL") is not None
        return cls(
            var_dir=var_dir,
            secret_key=reader.text("LATHE_SECRET_KEY", "", min_length=50) or None,
            debug=reader.flag("LATHE_DEBUG", False),
            allowed_hosts=reader.words("LATHE_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]")),
            base_url=_base_url(reader),
            base_url_is_given=reader.given("LATHE_BASE_URL") is not None,
            behind_proxy=reader.flag("LATHE_BEHIND_PROXY", False),
            trusted_proxies=reader.networks("LATHE_TRUSTED_PROXIES"),
            hsts_seconds=reader.whole("LATHE_HSTS_SECONDS", 31_536_000),
            database_url=_database_url(reader, var_dir),
            redis_url=_redis_url(reader, var_dir),
            redis_is_embedded=not redis_given,
            storage_url=_storage_url(reader, var_dir),
            email_url=_email_url(reader, var_dir),
            mail_from=reader.text("LATHE_MAIL_FROM", "Lathe <lathe@localhost>"),
            webhook_networks=reader.networks("LATHE_WEBHOOK_NETWORKS"),
            queues=reader.words("LATHE_QUEUES", ("default", "checks", "cpu"), choices=QUEUES),
            metrics_token=reader.text("LATHE_METRICS_TOKEN", "", min_length=20) or None,
            metrics_networks=reader.networks("LATHE_METRICS_NETWORKS"),
            needed_queues=reader.words("LATHE_NEEDED_QUEUES", ("default", "checks", "cpu"), choices=QUEUES),
            step_memory_bytes=reader.size_bytes("LATHE_STEP_MEMORY", 16 * 2**30),
            cores=reader.cores("LATHE_CORES"),
            quiet_wait_s=reader.whole("LATHE_QUIET_WAIT_S", 20, at_most=LONGEST_QUIET_WAIT_S),
            timing_s=reader.whole("LATHE_TIMING_S", 20, at_least=1, at_most=LONGEST_TIMING_S),
            sandbox=SandboxRule(reader.choice("LATHE_SANDBOX", SandboxRule.BEST, tuple(SandboxRule))),
            upload_limit_bytes=reader.size_bytes("LATHE_UPLOAD_LIMIT", 8 * 2**30),
            signing_key=_signing_key(reader),
            log_level=reader.choice("LATHE_LOG_LEVEL", "INFO", LOG_LEVELS),
            log_format=reader.choice("LATHE_LOG_FORMAT", "auto", LOG_FORMATS),
            sentry_dsn=_sentry_dsn(reader),
            single_sign_on=_single_sign_on(reader),
            names=frozenset(reader.names),
        )


def _base_url(reader: Reader) -> str:
    return reader.url(
        "LATHE_BASE_URL",
        "http://127.0.0.1:8000",
        schemes=("http", "https"),
        example="https://lathe.example.org",
    ).rstrip("/")


def _database_url(reader: Reader, var_dir: Path) -> str:
    return reader.url(
        "DATABASE_URL",
        f"sqlite:///{quote(str(var_dir))}/lathe.sqlite3",
        schemes=("sqlite", "postgres", "postgresql"),
        example="postgres://user:password@host:5432/lathe",
    )


def _redis_url(reader: Reader, var_dir: Path) -> str:
    return reader.url(
        "REDIS_URL",
        f"unix://{quote(str(redis_socket(var_dir)))}",
        schemes=("redis", "rediss", "unix"),
        example="redis://host:6379/0",
    )


def _storage_url(reader: Reader, var_dir: Path) -> str:
    return reader.url(
        "STORAGE_URL",
        f"file://{quote(str(var_dir))}/files",
        schemes=("file", "s3"),
        example="s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1",
    )


def _email_url(reader: Reader, var_dir: Path) -> str:
    return reader.url(
        "EMAIL_URL",
        f"file://{quote(str(var_dir))}/mail",
        schemes=("smtp", "smtps", "console", "file"),
        example="smtps://user:password@mail.example.org:465",
    )


def _signing_key(reader: Reader) -> Path | None:
    path = reader.path("LATHE_SIGNING_KEY", Path("/etc/lathe/signing-key.pem"))
    return path if reader.given("LATHE_SIGNING_KEY") else None


def _sentry_dsn(reader: Reader) -> str | None:
    example = "https://key@sentry.example.org/7"
    dsn = reader.url("LATHE_SENTRY_DSN", "", schemes=("http", "https"), example=example)
    parts = urlsplit(dsn)
    if dsn and not (parts.username and parts.path.rpartition("/")[2].isdecimal()):
        raise WrongVariable("LATHE_SENTRY_DSN", parts.hostname or "", f"write a key and a project, as in {example}")
    return dsn or None


def _single_sign_on(reader: Reader) -> SingleSignOn | None:
    example = "https://id.example.org/realms/company"
    found = SingleSignOn(
        issuer=reader.url("LATHE_OIDC_ISSUER", "", schemes=("https", "http"), example=example).rstrip("/"),
        client_id=reader.text("LATHE_OIDC_CLIENT_ID", ""),
        client_secret=reader.text("LATHE_OIDC_CLIENT_SECRET", ""),
        name=reader.text("LATHE_OIDC_NAME", "single sign-on"),
        domains=tuple(word.lower() for word in reader.words("LATHE_OIDC_DOMAINS", ())),
    )
    parts = urlsplit(found.issuer)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise WrongVariable("LATHE_OIDC_ISSUER", found.issuer, f"only on this machine may it be without TLS: {example}")
    for name, value in (("LATHE_OIDC_CLIENT_ID", found.client_id), ("LATHE_OIDC_CLIENT_SECRET", found.client_secret)):
        if found.issuer and not value:
            raise WrongVariable(name, "", "write what the provider at LATHE_OIDC_ISSUER gave you for this portal.")
    if not found.issuer and (found.client_id or found.client_secret or found.domains):
        raise WrongVariable("LATHE_OIDC_ISSUER", "", f"write the provider's address, such as {example}")
    return found if found.issuer else None


def redis_socket(var_dir: Path) -> Path:
    """Where the bundled Redis listens: in `var_dir`, or, if that path is too long for a socket, in a short folder of
    this user whose name is derived from `var_dir`, so that every process finds the same one."""
    socket = var_dir / "redis" / "redis.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"lathe-{os.getuid()}-{digest}" / "redis.sock"
