"""compose.yaml, the Dockerfile, .env.example and the operators' page speak of the same variables as the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml

from apps.agents.measuring.scheduling.priority import FIFO_PRIORITY, NICE
from lathe.env import PROJECT_ROOT, Environment
from lathe.processes import python_path

pytestmark = pytest.mark.portable

KNOWN = Environment.read({}).names
OF_OTHERS = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD"),
    *("REDIS_WEB_PASSWORD", "REDIS_WORKER_PASSWORD", "PORT", "LATHE_SUBNET"),
    *("WEB_MEMORY", "WORKER_MEMORY", "WORKER_GPU_MEMORY", "POSTGRES_MEMORY", "REDIS_MEMORY"),
    *("WEB_CPUS", "POSTGRES_CPUS", "REDIS_CPUS", "WORKER_CPUSET"),
}
"""Read by the bucket's client, by PostgreSQL's image, and by compose.yaml itself."""
COMPOSE = (PROJECT_ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


@pytest.mark.parametrize("name", OURS)
def test_each_service_of_ours_sets_variables_that_exist(name):
    assert OURS[name]["environment"].keys() <= KNOWN | OF_OTHERS


def test_compose_reads_variables_that_exist():
    read = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))
    assert read <= KNOWN | OF_OTHERS


def test_the_example_holds_variables_that_exist_and_compose_reads():
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    written = {match[1] for line in lines if (match := re.match(r"(?:# )?([A-Z][A-Z_]+)=", line))}
    assert written <= KNOWN | OF_OTHERS
    assert written <= set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))


def test_the_operators_page_has_every_variable_and_no_other():
    page = (PROJECT_ROOT / "docs" / "deployment.md").read_text()
    table = page.split("## Variables")[1].split("##")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == KNOWN


def test_services_build_targets_that_the_dockerfile_has_from_locks_that_exist():
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS ([\w-]+)", dockerfile, re.MULTILINE))
    assert {service["build"]["target"] for service in OURS.values()} == targets - {"base"}
    for lock in re.findall(r"requirements/[\w-]+\.txt", dockerfile):
        assert (PROJECT_ROOT / lock).exists()


def test_the_web_image_gets_the_web_lock_only():
    stage = (PROJECT_ROOT / "Dockerfile").read_text().split("AS web")[1].split("FROM base")[0]
    assert re.findall(r"requirements/([\w-]+)\.txt", stage) == ["web", "web"]


@pytest.mark.parametrize("kind", ["worker-cpu", "worker-gpu"])
def test_each_kind_of_worker_is_built_from_its_own_lock(kind):
    stage = (PROJECT_ROOT / "Dockerfile").read_text().split(f"AS {kind}\n")[1].split("FROM base")[0]
    assert re.findall(r"requirements/([\w-]+)\.txt", stage) == [kind, kind]


@pytest.mark.parametrize("kind", ["worker-cpu", "worker-gpu"])
def test_the_workers_images_hold_their_code_compiled_for_children_that_compile_none(kind):
    stage = (PROJECT_ROOT / "Dockerfile").read_text().split(f"AS {kind}\n")[1].split("FROM base")[0]
    assert stage.index("COPY . .") < stage.index("compileall -q apps platform") < stage.index("USER lathe")


def test_services_wait_for_what_they_need_and_every_volume_is_declared():
    declared = yaml.safe_load(COMPOSE)["volumes"].keys()
    for name, service in SERVICES.items():
        assert all(volume.split(":")[0] in declared for volume in service["volumes"]), name
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name
    for name in ("web", "worker", "worker-gpu"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    for name in ("postgres", "redis"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_workers_serve_every_queue_between_them():
    queues = {queue for service in OURS.values() for queue in service["environment"].get("LATHE_QUEUES", "").split(",")}
    assert queues - {""} == {"default", "checks", "cpu", "gpu"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_take_the_whole_machine(name):
    service, example = SERVICES[name], (PROJECT_ROOT / ".env.example").read_text()
    memory = re.fullmatch(r"\$\{(\w+):-(\d+)g\}", service["mem_limit"])
    assert f"# {memory[1]}={memory[2]}g\n" in example
    assert 0 < service["pids_limit"] < 2**15
    cores = re.fullmatch(r"\$\{(\w+):-0?\}", service["cpus" if "cpus" in service else "cpuset"])
    assert f"# {cores[1]}=" in example


@pytest.mark.parametrize(
    ("memory", "refuses_from"),
    [("1g", 768 * 2**20), ("512mb", 384 * 2**20), ("1.5G", 1152 * 2**20), ("400000000", 300_000_000)],
)
def test_redis_refuses_messages_before_its_container_is_full_and_throws_none_away(memory, refuses_from):
    redis = SERVICES["redis"]
    assert redis["environment"]["REDIS_MEMORY"] == redis["mem_limit"]
    script = redis["command"][-1].replace("$$", "$")
    start = script[script.index("limit=") :].replace("exec docker-entrypoint.sh", "echo")
    given = {"PATH": os.environ["PATH"], "REDIS_MEMORY": memory}
    told = subprocess.run(["/bin/sh", "-euc", start], env=given, capture_output=True, text=True, check=False)
    assert told.stdout.split("--maxmemory ")[1] == f"{refuses_from} --maxmemory-policy noeviction\n", told.stderr


def test_a_worker_has_room_for_a_check_and_a_step_at_once_and_its_measurements_are_not_throttled():
    step_gib = Environment.read({}).step_memory_bytes / 2**30
    for name in ("worker", "worker-gpu"):
        assert int(re.search(r"(\d+)g", SERVICES[name]["mem_limit"])[1]) >= 2 * step_gib + 4
        assert "cpus" not in SERVICES[name]


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_workers_may_ask_for_priority_by_capability_and_by_limit(name):
    assert SERVICES[name]["cap_add"] == ["SYS_NICE"]
    limits = SERVICES[name]["ulimits"]
    assert limits["rtprio"] >= FIFO_PRIORITY
    assert 20 - limits["nice"] <= NICE


def test_the_web_may_not():
    assert not {"cap_add", "ulimits"} & SERVICES["web"].keys()


def settings_start(**variables: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in KNOWN}
    return subprocess.run(
        [sys.executable, "-c", "from lathe import settings; print(settings.ALLOWED_HOSTS)"],
        cwd=PROJECT_ROOT,
        env={**bare, "PYTHONPATH": python_path(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_value_stops_the_start_with_one_sentence(tmp_path):
    done = settings_start(LATHE_VAR_DIR=str(tmp_path), REDIS_URL="localhost:6379")
    assert done.returncode == 1
    assert done.stderr == (
        "Lathe cannot start. REDIS_URL is 'localhost:6379', which is invalid: it must begin with redis:, rediss:, "
        "unix: such as redis://host:6379/0\n"
    )


def test_the_portals_own_host_is_always_allowed(tmp_path):
    done = settings_start(
        LATHE_VAR_DIR=str(tmp_path), LATHE_BASE_URL="https://lathe.example.org", LATHE_ALLOWED_HOSTS="a"
    )
    assert done.stdout.strip() == "['a', 'lathe.example.org']"
