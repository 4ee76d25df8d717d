"""docker/compose.yaml, where no engine is: what it names is there, known and consistent."""

import json
import os
import re
import shutil
import subprocess

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


# What compose knows of each part, as far as this file might need it; see the Compose Specification.
WORDS = {
    "file": "name services volumes networks configs secrets",
    "service": "build cap_add cap_drop cgroup_parent command configs container_name cpus depends_on deploy devices dns "
               "entrypoint env_file environment expose extends extra_hosts group_add healthcheck hostname image init ipc "
               "labels logging mem_limit network_mode networks pid pids_limit platform ports privileged profiles pull_policy "
               "read_only restart runtime secrets security_opt shm_size stdin_open stop_grace_period stop_signal sysctls tmpfs "
               "tty ulimits user userns_mode volumes working_dir",
    "build": "args cache_from context dockerfile labels network no_cache pull secrets shm_size tags target",
    "healthcheck": "disable interval retries start_interval start_period test timeout",
    "deploy": "labels mode placement replicas resources restart_policy update_config",
    "resources": "limits reservations",
    "limits": "cpus memory pids",
    "device": "capabilities count device_ids driver options",
    "depends_on": "condition required restart",
    "network": "aliases ipv4_address ipv6_address link_local_ips mac_address priority",
    "volume": "driver driver_opts external labels name",
    "network of the file": "attachable driver driver_opts enable_ipv6 external internal ipam labels name",
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def mistakes(file):
    """Words of a compose file, as YAML reads it, that compose would not know."""
    found = []

    def look(kind, where, part, more=""):
        if not isinstance(part, dict):
            found.append(f"{where}: no mapping")
            return {}
        found.extend(f"{where}.{key}" for key in part
                     if key not in f"{WORDS[kind]} {more}".split() and not str(key).startswith("x-"))
        return part

    def each(kind, where, parts):
        for name, part in (parts if isinstance(parts, dict) else {}).items():
            look(kind, f"{where}.{name}", {} if part is None else part)

    look("file", "file", file)
    each("volume", "volumes", file.get("volumes"))
    each("network of the file", "networks", file.get("networks"))
    for name, service_ in file["services"].items():
        look("service", name, service_)
        if "build" in service_:
            look("build", f"{name}.build", service_["build"])
        look("healthcheck", f"{name}.healthcheck", service_.get("healthcheck", {}))
        each("depends_on", f"{name}.depends_on", service_.get("depends_on"))
        found += [f"{name}.depends_on: {how}" for how in service_.get("depends_on", {}).values()
                  if how.get("condition") not in CONDITIONS]
        each("network", f"{name}.networks", service_.get("networks"))
        deploy = look("deploy", f"{name}.deploy", service_.get("deploy", {}))
        resources = look("resources", f"{name}.resources", deploy.get("resources", {}))
        for part in ("limits", "reservations"):
            given = look("limits", f"{name}.{part}", resources.get(part, {}), "devices" if part == "reservations" else "")
            for device in given.get("devices", []):
                look("device", f"{name}.devices", device)
    return found


def compose_command():
    """How compose itself is called here; None if it is not there, or is of version 1, which knows other words."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]):
            told = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
            number = re.match(r"v?(\d+)\.", told.stdout)
            if told.returncode == 0 and number and int(number[1]) >= 2:
                return command
    return None


@pytest.mark.parametrize(
    "old, plugin, found",
    [("echo 1.29.2", "echo 5.0.1", ["docker", "compose"]), ("echo v2.26.1", "exit 1", ["docker-compose"]),
     ("echo 2.26.1-4", "exit 1", ["docker-compose"]), ("echo 1.29.2", "exit 1", None), ("exit 1", "echo none", None)])
def test_a_compose_of_version_1_is_none(old, plugin, found, tmp_path, monkeypatch):
    for program, text in (("docker-compose", old), ("docker", plugin)):
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert compose_command() == found


def refused(text, folder, profile):
    """What compose says against a file of this text; where compose is not, what our list of its words does."""
    command = compose_command()
    if command is None:
        given = dict.fromkeys(("TESSERA_TOKEN", "RABBITMQ_PASSWORD", "GRAFANA_PASSWORD"), "secret")
        return "\n".join(mistakes(yaml.safe_load(filled_in(text, given))))
    (folder / "compose.yaml").write_text(text)
    (folder / ".env").write_text(re.sub(r"=$", "=secret", (DOCKER / "env.example").read_text(), flags=re.MULTILINE))
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run([*command, "--env-file", folder / ".env", "-f", folder / "compose.yaml", "--profile", profile,
                           "config", "-q"], capture_output=True, text=True, env=known)
    assert (done.returncode != 0) or not done.stderr, done.stderr
    return done.stderr if done.returncode != 0 else ""


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_knows_every_word_of_the_file(profile, tmp_path):
    assert refused((DOCKER / "compose.yaml").read_text(), tmp_path, profile) == ""


@pytest.mark.parametrize(
    "right, wrong",
    [("      retries: 10", "      retires: 10"), ("    read_only: true", "    readonly: true"),
     ("            capabilities: [gpu]", "            capability: [gpu]"), ("    dockerfile: ", "    docker-file: "),
     ("        condition: service_healthy", "        conditions: service_healthy"), ("        aliases: ", "        alias: "),
     ("  rabbitmq:\n  prometheus:", "  rabbitmq: {drivers: local}\n  prometheus:"), ("\nservices:", "\nservises: {}\nservices:")])
def test_a_word_that_compose_does_not_know_is_refused(right, wrong, tmp_path):
    text = (DOCKER / "compose.yaml").read_text()
    assert right in text
    assert refused(text.replace(right, wrong), tmp_path, "demo") != ""


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


def test_a_demo_leaves_the_map_that_is_kept_alone(compose):
    keep = {name for name, one in compose["services"].items() if "journal:/var/lib/tessera" in one.get("volumes", [])}
    assert keep == {"mesh_service", "mesh_service_cpu", "mesh_service_host"} and not keep & set(up(compose, "demo"))
    assert compose["services"]["mesh_service_demo"]["environment"]["TESSERA_JOURNAL"] == "off"


def test_what_can_use_a_gpu_asks_for_one(compose):
    for name, one in ours(compose).items():
        assert "TESSERA_BACKEND" not in one["environment"], name  # the image says it
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
