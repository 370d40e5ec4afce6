"""`make deployment-test`: builds the images and runs the whole system. See `tests.deployment`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deployment import compose, services
from tests.deployment.images import PROJECT, Builder, Image
from tests.deployment.network import Network
from tests.deployment.roots import Root

NAME = "lathe.example.org"
"""The proxy's host, by the name of its certificate."""
HOSTS = ("postgres", "redis", "s3", "web", "worker-checks", "worker-cpu", NAME, "member")
UID = 10001
NEEDED = ("ip", "unshare", "setpriv", "nginx", "redis-server", "openssl", "git")
EMAIL, PASSWORD = "ada@example.org", "a long enough password 1815"
_PEOPLE = f"""
from apps.accounts.models import TokenScope, User
from apps.accounts.services import create_team, create_token
user = User.objects.create_user({EMAIL!r}, {PASSWORD!r})
create_team("Analysts", user)
print("token", create_token(user, name="test", scope=TokenScope.WRITE, days=1)[1])
"""


@dataclass
class System:
    """The hosts that run, each with its processes and a log."""

    folder: Path
    network: Network
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, host: str, command: Sequence[str]) -> None:
        log = (self.folder / f"{host}.log").open("wb")
        self.running[host] = subprocess.Popen(
            list(command), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def stop(self, host: str) -> None:
        process = self.running.pop(host)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(25)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for(self, host: str, ready: Callable[[], bool], limit_s: float = 300.0) -> None:
        deadline = time.monotonic() + limit_s
        while not ready():
            ended = self.running[host].poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / f"{host}.log").read_text(errors="replace")[-3000:]
                raise SystemExit(f"{host} {'has ended' if ended else 'is not ready'}:\n{log}")
            time.sleep(0.5)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for host in reversed(list(self.running)):
                self.stop(host)


@dataclass
class Host:
    """A container: an image with variables of its own, and what compose.yaml mounts and limits."""

    name: str
    image: Image
    system: System
    variables: Mapping[str, str]

    def command(self, words: Sequence[str]) -> list[str]:
        own = self.system.folder / self.name
        own.mkdir(exist_ok=True)
        root = Root(own)
        for place, (source, _) in self.image.root.mounts.items():
            root.mount(source, place)
        for place in ("etc", self.image.folder[1:]):
            root.mount(self.image.root.folder / place, f"/{place}")
        home = own / "var/lib/lathe"
        if not home.exists():
            self._furnish(own, home)
        variables = {**self.image.variables, "HOME": "/var/lib/lathe", **self.variables}
        namespace = self.system.network.namespace(self.name)
        return root.command(
            words, variables=variables, user=self.image.user, folder=self.image.folder, namespace=namespace
        )

    def _furnish(self, own: Path, home: Path) -> None:
        home.mkdir(parents=True)
        os.chown(home, UID, UID)
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if Path("/", name).is_symlink():
                (own / name).symlink_to(f"usr/{name}")
        for name in ("tmp", "run"):
            (own / name).mkdir(exist_ok=True)
            (own / name).chmod(0o1777)

    def run(self, *words: str) -> str:
        """The output of a command that must succeed."""
        done = subprocess.run(self.command(words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{self.name}: {' '.join(words)[:80]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            )
        return done.stdout

    def healthy(self) -> bool:
        """What the image's own health check says."""
        return subprocess.run(self.command(self.image.healthcheck), capture_output=True, check=False).returncode == 0


def variables(network: Network) -> dict[str, str]:
    """What an operator writes into .env."""
    return {
        "LATHE_BASE_URL": f"https://{NAME}",
        "LATHE_BEHIND_PROXY": "1",
        "LATHE_TRUSTED_PROXIES": network.addresses[NAME],
        "LATHE_SECRET_KEY": secrets.token_urlsafe(48),
        "POSTGRES_PASSWORD": secrets.token_hex(12),
        "REDIS_WEB_PASSWORD": secrets.token_hex(12),
        "REDIS_WORKER_PASSWORD": secrets.token_hex(12),
        "STORAGE_URL": "s3://lathe/files?endpoint=http://s3:9000&region=eu-1&addressing=path",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "EMAIL_URL": "console:",
        "LATHE_QUIET_WAIT_S": "0",
        "LATHE_TIMING_S": "3",
    }


def object_store(system: System) -> None:
    """An S3 bucket by moto."""
    inside = ["ip", "netns", "exec", system.network.namespace("s3")]
    system.start("s3", [*inside, sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", "9000"])
    code = "import boto3; boto3.client('s3', endpoint_url='http://127.0.0.1:9000').create_bucket(Bucket='lathe')"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

    def made() -> bool:
        command = [*inside, sys.executable, "-c", code]
        return subprocess.run(command, env={**os.environ, **keys}, capture_output=True, check=False).returncode == 0

    system.wait_for("s3", made)


def images(folder: Path, installed: dict[str, Path]) -> tuple[Image, Image]:
    builder = Builder(folder, installed)
    built = []
    for name in ("web", "worker-cpu"):
        start = time.monotonic()
        print(f"  image {name}")
        built.append(builder.build(name))
        print(f"  image {name}: {time.monotonic() - start:.0f} s")
    web, worker = built
    shutil.copy(web.root.folder / "etc/passwd", folder / "passwd")
    return web, worker


def told(hosts: Mapping[str, Host], web: Host) -> None:
    """What holds of the processes: their user, and which libraries are there."""
    for name, host in hosts.items():
        user = host.run("id", "--user").strip()
        assert user == str(UID), f"{name} runs as {user}"
        assert subprocess.run(host.command(["touch", "/lathe/x"]), capture_output=True, check=False).returncode, name
    libraries = ("torch", "tensorflow", "onnxruntime", "numpy")
    found = web.run("python", "-c", f"import importlib.util as u; print([n for n in {libraries} if u.find_spec(n)])")
    assert found.strip() == "[]", f"the web image has {found}"
    print("  web has no machine-learning library; everything runs as another user and cannot write to its code")


def doctor(web: Host, certificate: Path) -> dict[str, dict[str, Any]]:
    """What `manage.py doctor` finds from the web host, by check."""
    words = ["env", f"SSL_CERT_FILE={certificate}", "python", "manage.py", "doctor", "--json"]
    done = subprocess.run(web.command(words), capture_output=True, text=True, check=False)
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == any(one["state"] == "failed" for one in findings), done.stderr
    return {one["check"]: one for one in findings}


def whole_system(folder: Path, installed: dict[str, Path]) -> None:
    network = Network(HOSTS)
    given = variables(network)
    wanted = compose.services(given)
    web_image, worker_image = images(folder / "images", installed)
    for image in (web_image, worker_image):
        (image.root.folder / "etc/hosts").write_text(network.hosts_file)
    system = System(folder, network)
    with network.up(), system.stopping():
        run_all(system, wanted, web_image, worker_image, given)


def run_all(
    system: System,
    wanted: dict[str, Any],
    web_image: Image,
    worker_image: Image,
    given: dict[str, str],
) -> None:
    folder, network = system.folder, system.network
    proxy_folder = folder / "proxy"
    proxy_folder.mkdir()
    tls = services.certificate(proxy_folder, NAME)
    trusted = web_image.root.folder / "etc/ssl/lathe-ca.pem"
    shutil.copy(tls[0], trusted)
    trusted.chmod(0o644)

    database = services.database(folder / "postgres", network.namespace("postgres"), given["POSTGRES_PASSWORD"])
    system.start("postgres", database)
    system.start("redis", services.redis(folder / "redis", network.namespace("redis"), wanted["redis"]))
    object_store(system)

    def host(name: str, image: Image, service: str, **more: str) -> Host:
        return Host(name, image, system, {**plain(wanted[service]["environment"]), **more})

    web = host("web", web_image, "web")
    checks = host("worker-checks", worker_image, "worker", LATHE_QUEUES="default,checks")
    cpu = host("worker-cpu", worker_image, "worker", LATHE_QUEUES="cpu")
    migrate = wanted["migrate"]["command"]
    system.wait_for("postgres", lambda: subprocess.run(web.command(migrate), capture_output=True).returncode == 0)
    print("  migrated by the command of compose.yaml")
    system.start("web", web.command(wanted["web"]["command"]))
    for worker in (checks, cpu):
        system.start(worker.name, worker.command(worker.image.command))
    portal = f"http://{network.addresses['web']}:8000"
    system.start(NAME, services.proxy(proxy_folder, network.namespace(NAME), name=NAME, portal=portal, tls=tls))
    for one in (web, checks, cpu):
        system.wait_for(one.name, one.healthy)
    print("  healthy by the images' own checks")
    told({"web": web, "worker-checks": checks, "worker-cpu": cpu}, web)
    system.wait_for("web", lambda: '"ready"' in web.run("python", "-c", _READY))
    token = web.run("python", "manage.py", "shell", "-v", "0", "-c", _PEOPLE).split("token ")[1].strip()
    session(network, tls[0], token)
    examined(web, system)


_READY = """
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:8000/ready/").read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


def plain(environment: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in environment.items() if str(value)}


def session(network: Network, certificate: Path, token: str) -> None:
    """A member's session, on a host of its own, through the proxy only."""
    hosts = certificate.parent / "hosts"
    hosts.write_text(network.hosts_file)
    inside = ["ip", "netns", "exec", network.namespace("member"), "unshare", "--mount", "--propagation", "private"]
    script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'
    member = [sys.executable, "-m", "tests.deployment.member", f"https://{NAME}", EMAIL, PASSWORD, token]
    variables = {
        **os.environ,
        "SSL_CERT_FILE": str(certificate),
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "clients/python/src"))),
    }
    subprocess.run([*inside, "sh", "-euc", script, "member", str(hosts), *member], check=True, env=variables)


def examined(web: Host, system: System) -> None:
    """The doctor finds the deployment sound, and names a worker that is gone."""
    found = doctor(web, Path("/etc/ssl/lathe-ca.pem"))
    failed = {name: one for name, one in found.items() if one["state"] == "failed"}
    assert not failed, failed
    assert found["websocket"]["state"] == found["address"]["state"] == "ok"
    print(f"  the doctor: {len(found)} findings, none failed")
    system.stop("worker-cpu")
    found = doctor(web, Path("/etc/ssl/lathe-ca.pem"))
    assert found["workers"]["state"] == "failed", found["workers"]
    print(f"  the doctor, without a worker: {found['workers']['sentence']}")


def _end(number: int, frame: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--reuse",
        action="append",
        default=[],
        metavar="IMAGE=ENVIRONMENT",
        help="in place of installing an image's lock, use an environment that has every version of it",
    )
    options = parser.parse_args()
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        raise SystemExit(f"This needs root{' and ' + ', '.join(missing) if missing else ''} (docs/deployment.md).")
    installed = {image: Path(place).resolve() for image, _, place in (one.partition("=") for one in options.reuse)}
    with tempfile.TemporaryDirectory(prefix="lathe-deployment-") as folder:
        Path(folder).chmod(0o755)
        start = time.monotonic()
        whole_system(Path(folder), installed)
        print(f"The deployment works, in {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    main()
