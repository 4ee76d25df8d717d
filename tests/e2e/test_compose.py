"""docker/compose.yaml, where no engine is: what it names is there, known and consistent."""

import json
import re

import pytest

from conftest import ROOT
from support import service
from support.left_out import need_module

yaml = need_module("yaml", "python3-yaml")
DOCKER = ROOT / "docker"
PROFILES = ["mesh_service", "mesh_service_cpu", "mesh_service_host", "demo"]
VARIABLE = re.compile(r"\$\{(\w+)(:[-?])?([^}]*)\}")


def filled_in(text, given):
    """As compose replaces variables; those that must be chosen and are not raise KeyError."""
    return VARIABLE.sub(lambda v: given[v[1]] if v[1] in given or v[2] != ":-" else v[3], text)


@pytest.fixture(scope="module")
def compose():
    given = dict.fromkeys(("TESSERA_TOKEN", "RABBITMQ_PASSWORD", "GRAFANA_PASSWORD"), "secret")
    return yaml.safe_load(filled_in((DOCKER / "compose.yaml").read_text(), given))


def up(compose, profile):
    """What is started with a profile."""
    return {name: one for name, one in compose["services"].items() if profile in one.get("profiles", [profile])}


def ours(compose):
    return {name: one for name, one in compose["services"].items() if "build" in one}


def test_secrets_must_be_chosen_and_the_example_names_them():
    asked = {name for name, how, _ in VARIABLE.findall((DOCKER / "compose.yaml").read_text()) if how == ":?"}
    assert asked == {"TESSERA_TOKEN", "RABBITMQ_PASSWORD", "GRAFANA_PASSWORD"}
    example = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / "env.example").read_text(), re.MULTILINE))
    assert all(example[name] == "" for name in asked)


def test_every_file_and_volume_that_is_mounted_is_there(compose):
    files = 0
    for name, one in compose["services"].items():
        for mount in one.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), f"{name} mounts {source}"
                files += 1
            else:
                assert source in compose["volumes"], f"{name} mounts {source}"
    assert files == 4


def test_images_that_are_built_are_targets_of_the_dockerfile(compose):
    for one in ours(compose).values():
        file = (DOCKER / one["build"]["context"] / one["build"]["dockerfile"]).resolve()
        stages = re.findall(r"^FROM \S+ AS (\S+)$", file.read_text(), re.MULTILINE)
        assert one["build"]["target"] in stages and one["image"] == f"tessera:{one['build']['target']}"


def test_every_variable_is_a_setting(compose, tessera):
    status, sample, _ = service.run(tessera, "settings")
    assert status == 0
    settings = {"TESSERA_" + name.upper().replace("-", "_") for name in re.findall(r"^([a-z-]+) = ", sample, re.MULTILINE)}
    status, told, _ = service.run(tessera, "serve", "--help")
    known = settings | set(re.findall(r"\b(?:MESH|SLAM3R|RABBITMQ)_[A-Z_]+\b|\bLOG_LEVEL\b", told))
    for name, one in ours(compose).items():
        assert set(one["environment"]) <= known, name
    environment = compose["services"]["mesh_service"]["environment"]
    # Each value is one that the program takes: it goes on to what it cannot have here, and not to a setting that cannot be.
    status, out, err = service.run(tessera, "hash", "rgbd:/nowhere",
                                   env={name: str(value) for name, value in environment.items()})
    assert "/nowhere" in err and "is not" not in err.split("/nowhere")[0], err


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_all_that_its_services_wait_for(compose, profile):
    started = up(compose, profile)
    meshes = [name for name in started if name.startswith("mesh_service")]
    assert len(meshes) == 1 and {"rabbitmq", "prometheus", "grafana"} <= set(started)
    for name, one in started.items():
        for other, how in one.get("depends_on", {}).items():
            assert other in started, f"{name} waits for {other}"
            if how["condition"] == "service_healthy" and "build" not in started[other]:
                assert "healthcheck" in started[other], f"{other} has no health"


def test_no_profile_is_unknown(compose):
    assert {profile for one in compose["services"].values() for profile in one.get("profiles", [])} == set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_prometheus_asks_the_service_by_a_name_that_it_has(compose, profile):
    host = profile == "mesh_service_host"
    config = yaml.safe_load((DOCKER / ("prometheus-host.yml" if host else "prometheus.yml")).read_text())
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "mesh_service"
    name, port = job["static_configs"][0]["targets"][0].split(":")
    started = up(compose, profile)
    (mesh,) = [name for name in started if name.startswith("mesh_service")]
    if host:
        assert started[mesh]["network_mode"] == "host" and started["prometheus"]["extra_hosts"] == [f"{name}:host-gateway"]
    else:
        assert name in [mesh, *started[mesh].get("networks", {}).get("default", {}).get("aliases", [])]
    assert port == "8006"


def test_the_broker_has_a_user_of_its_own(compose):
    broker = compose["services"]["rabbitmq"]
    assert broker["image"].startswith("rabbitmq:4")
    user, password = broker["environment"]["RABBITMQ_DEFAULT_USER"], broker["environment"]["RABBITMQ_DEFAULT_PASS"]
    assert user != "guest"
    for name, one in ours(compose).items():
        url = one["environment"].get("RABBITMQ_URL") or one["command"][-1]
        assert url.startswith(f"amqp://{user}:{password}@"), name


def test_what_can_use_a_gpu_asks_for_one(compose):
    for name, one in ours(compose).items():
        assert (one["image"] == "tessera:cuda") == (one.get("runtime") == "nvidia") == ("deploy" in one), name


def test_services_may_write_little_and_share_memory(compose):
    for name, one in ours(compose).items():
        assert one["read_only"] and one["ipc"] == "host" and one["user"], name


def test_grafana_finds_its_board_and_the_board_its_job(compose):
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    boards = yaml.safe_load((DOCKER / "grafana" / "boards.yaml").read_text())
    folder = boards["providers"][0]["options"]["path"]
    assert mounts["../config/grafana-tessera.json"].startswith(folder + "/")
    source = yaml.safe_load((DOCKER / "grafana" / "source.yaml").read_text())["datasources"][0]
    assert source["isDefault"] and re.match(r"http://prometheus:", source["url"]) and "prometheus" in compose["services"]
    board = (ROOT / "config" / "grafana-tessera.json").read_text()
    json.loads(board)
    for jobs in re.findall(r'job=~\\"([^"\\]*)\\"', board):
        assert {"tessera", "mesh_service"} == set(jobs.split("|"))
    assert 'job=\\"' not in board
