"""The manifests under deploy/kubernetes: valid, within the restricted standard, and of one mind with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lathe.env import PROJECT_ROOT, QUEUES, Environment
from tests.lathe.test_deployment import OF_OTHERS

pytestmark = pytest.mark.portable

FOLDER = PROJECT_ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.34")
"""The oldest and the newest release that the manifests are held against."""
KNOWN = Environment.read({}).names | OF_OTHERS
EXAMPLES = list(yaml.safe_load_all((FOLDER / "base" / "secret.example.yaml").read_text()))


def files_of(kustomization: Path) -> Iterator[Path]:
    """The manifests that a kustomization consists of."""
    for name in yaml.safe_load(kustomization.read_text())["resources"]:
        path = (kustomization.parent / name).resolve()
        yield from files_of(path / "kustomization.yaml") if path.is_dir() else [path]


FILES = list(files_of(FOLDER / "gpu" / "kustomization.yaml"))
MANIFESTS = [manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text())]
NAMES = [f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in MANIFESTS]
PODS = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if "template" in manifest.get("spec", {})
}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def variables(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize(
    "manifest", [*MANIFESTS, *EXAMPLES], ids=lambda one: f"{one['kind']} {one['metadata']['name']}"
)
def test_each_manifest_is_valid_in_the_oldest_and_the_newest_release(manifest):
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_found():
    wrong = yaml.safe_load((FOLDER / "base" / "namespace.yaml").read_text()) | {"metdata": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_file_belongs_to_a_kustomization_and_no_example_does():
    written = {file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert written - set(FILES) == {FOLDER / "base" / "secret.example.yaml"}


def test_each_kind_of_process_has_pods_of_its_own_and_migrations_are_a_job():
    assert {"Deployment lathe-web", "Deployment lathe-worker", "Deployment lathe-worker-cpu"} <= set(NAMES)
    assert {"Deployment lathe-worker-gpu", "Job lathe-migrate"} <= set(NAMES)
    waiting = {name for name, pod in PODS.items() if "migrate --check" in str(pod.get("initContainers", ""))}
    assert waiting == PODS.keys() - {"lathe-migrate"}


def test_images_are_those_of_the_dockerfile_with_a_version_of_lathe():
    targets = set(re.findall(r"^FROM \S+ AS ([\w-]+)", (PROJECT_ROOT / "Dockerfile").read_text(), re.MULTILINE))
    used = {one["image"] for pod in PODS.values() for one in containers(pod)}
    assert used == {f"lathe-{target}" for target in targets - {"base"}}
    listed = [
        one
        for place in ("base", "gpu")
        for one in yaml.safe_load((FOLDER / place / "kustomization.yaml").read_text())["images"]
    ]
    assert {one["name"] for one in listed} == used
    assert len({one["newTag"] for one in listed}) == 1


@pytest.mark.parametrize("name", PODS)
def test_pods_keep_to_the_restricted_standard_and_to_limits(name):
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) in (PROJECT_ROOT / "Dockerfile").read_text()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in containers(pod):
        closed = one["securityContext"]
        assert (closed["allowPrivilegeEscalation"], closed["capabilities"]) == (False, {"drop": ["ALL"]})
        assert closed["readOnlyRootFilesystem"] is True
        assert {"memory"} <= one["resources"]["limits"].keys()
        assert {"/var/lib/lathe", "/tmp"} <= {mount["mountPath"] for mount in one["volumeMounts"]}


def test_probes_ask_what_the_portal_answers_by_a_name_that_it_knows():
    (web,) = PODS["lathe-web"]["containers"]
    asked = {kind: web[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    paths = {kind: probe["path"] for kind, probe in asked.items()}
    assert paths == {"startup": "/health/", "liveness": "/health/", "readiness": "/ready/?except=workers"}
    hosts = {header["value"] for probe in asked.values() for header in probe["httpHeaders"]}
    assert hosts <= set(Environment.read({}).allowed_hosts)
    assert web["ports"][0]["containerPort"] == int(web["command"][web["command"].index("--port") + 1])


def test_settings_and_secrets_exist_and_no_secret_is_among_the_settings():
    (settings,) = (one["data"] for one in MANIFESTS if one["kind"] == "ConfigMap")
    secret, redis = (one["stringData"] for one in EXAMPLES)
    assert settings.keys() | secret.keys() <= KNOWN
    assert not settings.keys() & secret.keys()
    assert {"LATHE_SECRET_KEY", "DATABASE_URL"} <= secret.keys()
    keys = {
        one["valueFrom"]["secretKeyRef"]["key"]
        for pod in PODS.values()
        for c in containers(pod)
        for one in c["env"]
        if "valueFrom" in one
    }
    assert keys == redis.keys()
    Environment.read({**settings, **secret, "REDIS_URL": redis["web"], "LATHE_SECRET_KEY": "k" * 50})


def test_workers_serve_every_queue_as_the_user_of_workers_and_accelerators_are_asked_for():
    workers = {name: pod for name, pod in PODS.items() if "LATHE_QUEUES" in variables(pod)}
    queues = [queue for pod in workers.values() for queue in variables(pod)["LATHE_QUEUES"].split(",")]
    assert sorted(queues) == sorted(QUEUES)
    for pod in workers.values():
        assert {"lathe-redis"} == {
            one["valueFrom"]["secretKeyRef"]["name"] for one in pod["containers"][0]["env"] if "valueFrom" in one
        }
        assert "worker" in str(pod["containers"][0]["env"])
    assert workers["lathe-worker-gpu"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
