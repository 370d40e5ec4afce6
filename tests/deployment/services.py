"""What is no image of ours: PostgreSQL, Redis with the users of compose.yaml, and the proxy of the docs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from tests.deployment.roots import Root

DOCS = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_DATABASE = """
cd /tmp
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
echo "$PASSWORD" > /tmp/password
"$bin/initdb" -D /data/main --username=lathe --auth=scram-sha-256 --pwfile=/tmp/password --encoding=UTF8 >/dev/null
echo "host all all samenet scram-sha-256" >> /data/main/pg_hba.conf
echo "create database lathe;" | "$bin/postgres" --single -D /data/main postgres >/dev/null
exec "$bin/postgres" -D /data/main -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
_REDIS_ENTRY = """#!/bin/sh
cd /data
# The official image is open to its network, and leaves it to the rules of users.
exec setpriv --reuid=redis --regid=redis --init-groups "$@" --protected-mode no --bind 0.0.0.0
"""


def database(folder: Path, namespace: str, password: str) -> list[str]:
    """The command that creates a cluster and serves it, as the user of PostgreSQL."""
    root = Root.bare(folder)
    _own_data(root, "postgres")
    variables = {**PATH, "PASSWORD": password}
    return root.command(["sh", "-euc", _DATABASE], variables=variables, user="postgres", namespace=namespace)


def redis(folder: Path, namespace: str, service: dict[str, Any]) -> list[str]:
    """Redis as compose.yaml starts it: the script there writes the rules of both users."""
    root = Root.bare(folder)
    _own_data(root, "redis")
    entry = root.folder / "entry" / "docker-entrypoint.sh"
    entry.parent.mkdir()
    entry.write_text(_REDIS_ENTRY)
    entry.chmod(0o755)
    variables = {**service["environment"], "PATH": f"/entry:{PATH['PATH']}"}
    return root.command(service["command"], variables=variables, namespace=namespace)


def _own_data(root: Root, user: str) -> None:
    data = root.folder / "data"
    data.mkdir()
    subprocess.run(["chown", f"{user}:{user}", str(data)], check=True)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of its own for `name`, and its key."""
    file, key = folder / "tls.pem", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    return file, key


def proxy(folder: Path, namespace: str, *, name: str, portal: str, tls: tuple[Path, Path]) -> list[str]:
    """nginx with the very block that docs/deployment.md shows operators."""
    block = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block, "docs/deployment.md shows no configuration of nginx"
    shown = block[1]
    for written, here in (
        ("lathe.example.org", name),
        ("/etc/ssl/lathe.pem", str(tls[0])),
        ("/etc/ssl/lathe.key", str(tls[1])),
        ("http://127.0.0.1:8000", portal),
    ):
        assert written in shown, f"the configuration in docs/deployment.md no longer says {written}"
        shown = shown.replace(written, here)
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{scratch}{shown}}}\n"
    )
    return ["ip", "netns", "exec", namespace, "nginx", "-p", str(folder), "-c", str(config)]
