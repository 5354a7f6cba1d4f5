"""What `docker/compose.yaml` says; that it runs is what `make test-compose` tests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

Service = dict[str, Any]

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def test_a_profile_adds_its_own_workers_to_what_every_profile_has(
    services: dict[str, Service],
) -> None:
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles == {
        "password": None,
        "db": None,
        "migrate": None,
        "service": None,
        "gateway": None,
        "worker": ["cpu"],
        "worker-gpu": ["gpu"],
    }


def test_only_the_gpus_worker_reserves_a_gpu(services: dict[str, Service]) -> None:
    deploy = {name: service.get("deploy") for name, service in services.items()}
    gpu = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert deploy.pop("worker-gpu") == {"resources": {"reservations": {"devices": [gpu]}}}
    assert not any(deploy.values())


def test_both_workers_differ_in_device_and_torch_alone(services: dict[str, Service]) -> None:
    cpu, gpu = dict(services["worker"]), dict(services["worker-gpu"])
    assert (cpu["image"], gpu["image"]) == ("lrsearch-worker:cpu", "lrsearch-worker:cuda")
    assert cpu["environment"] == gpu["environment"] | {"LRSEARCH_WORKER_DEVICE": "cpu"}
    assert gpu["environment"]["LRSEARCH_WORKER_DEVICE"] == "cuda"
    assert cpu["build"] | {"args": None} == gpu["build"] | {"args": None}
    assert cpu["build"]["args"] == {"TORCH_INDEX_URL": "${TORCH_INDEX_URL:-}"}
    assert gpu["build"]["args"] == {"TORCH_INDEX_URL": "${TORCH_CUDA_INDEX_URL:-}"}
    own = ("image", "environment", "build", "profiles", "deploy")
    assert {name: value for name, value in cpu.items() if name not in own} == {
        name: value for name, value in gpu.items() if name not in own
    }


def test_secrets_are_in_files_and_never_in_an_environment(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            secret = any(word in variable for word in ("PASSWORD", "KEY", "SECRET", "TOKEN"))
            assert not secret or variable.endswith("_FILE"), f"{name}: {variable}"
            assert "@" not in value or ":" not in value.partition("//")[2].partition("@")[0]


def test_whoever_needs_the_password_reads_the_file_that_one_container_writes(
    services: dict[str, Service],
) -> None:
    mounts = {
        name: mount.partition(":")[2]
        for name, service in services.items()
        for mount in service.get("volumes", [])
        if mount.startswith("database-password:")
    }
    assert mounts.pop("password") == "/run/database"
    assert mounts == dict.fromkeys(("db", "migrate", "service"), "/run/database:ro")
    assert {
        variable: value
        for service in services.values()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable
    } == dict.fromkeys(
        ("POSTGRES_PASSWORD_FILE", "LRSEARCH_DATABASE_PASSWORD_FILE"), "/run/database/password"
    )


def test_nothing_but_the_database_may_do_what_it_need_not(services: dict[str, Service]) -> None:
    for name, service in services.items():
        if name == "db":
            continue
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("cap_add", []) == (
            ["CHOWN", "DAC_OVERRIDE"] if name == "password" else []
        )


def test_only_the_gateway_has_a_port_and_on_loopback_alone(services: dict[str, Service]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"gateway": ["127.0.0.1:${LRSEARCH_PORT:-8000}:8000"]}


def test_the_gateway_alone_connects_those_who_ask_with_the_service_that_believes_it(
    compose: dict[str, Any], services: dict[str, Service]
) -> None:
    networks = {
        name: service.get("networks", ["default"])
        for name, service in services.items()
        if service.get("network_mode") != "none"
    }
    assert networks.pop("gateway") == ["default", "inside"]
    assert networks == {
        "db": ["inside"],
        "migrate": ["inside"],
        "service": ["inside"],
        "worker": ["default"],
        "worker-gpu": ["default"],
    }
    assert set(compose["networks"]) == {"default", "inside"}
    assert services["service"]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
    believed = services["gateway"]["environment"]["FORWARDED_ALLOW_IPS"]
    assert believed == "${FORWARDED_ALLOW_IPS:-127.0.0.1}"


def test_workers_start_with_the_gateway_and_ask_it_alone(services: dict[str, Service]) -> None:
    for name in ("worker", "worker-gpu"):
        assert services[name]["environment"]["LRSEARCH_WORKER_URL"] == "http://gateway:8000"
        assert services[name]["depends_on"] == {"gateway": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["gateway", "service", "worker"])
def test_an_image_runs_as_its_own_user_and_says_how_it_is(name: str) -> None:
    lines = (DOCKER / f"{name}.Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line for line in last_stage if line.startswith("USER ")]
    assert users == [f"USER {'haproxy' if name == 'gateway' else 'lrsearch'}"]
    assert any(line.startswith("HEALTHCHECK ") for line in last_stage)


def test_every_volume_that_is_mounted_is_declared(compose: dict[str, Any]) -> None:
    mounted = {
        mount.partition(":")[0]
        for service in compose["services"].values()
        for mount in service.get("volumes", [])
    }
    assert mounted == set(compose["volumes"])
