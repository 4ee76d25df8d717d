"""The image of docker/Dockerfile: built by buildah from the program under test, and run by chroot with a file system that cannot
be written. And what stands in it, which needs no image."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import tessera_client
from conftest import ROOT
from support import ports, service

DOCKER = ROOT / "docker"
TARGETS = {"cpu", "cuda"}


def stages():
    """name: its lines, of the Dockerfile."""
    out = {}
    for part in (DOCKER / "Dockerfile").read_text().split("\nFROM ")[1:]:
        first, *lines = part.splitlines()
        out[first.split()[-1]] = [line for line in lines if line and not line.startswith("#")]
    return out


def test_both_images_are_made_alike():
    found = stages()
    assert TARGETS <= set(found)
    for of_cpu, of_cuda in (("cpu", "cuda"), ("cpu-build", "cuda-build")):
        other = [line.replace("cuda", "cpu").replace("CUDA_", "") for line in found[of_cuda]
                 if "NVIDIA" not in line and "_BACKEND" not in line]
        assert found[of_cpu] == other
    for name in TARGETS:
        assert {"USER tessera", 'ENTRYPOINT ["entrypoint"]'} <= set(found[name])
        assert any(line.startswith("HEALTHCHECK") and '"tessera", "health"' in line for line in found[name])
        for label in ("VERSION", "REVISION"):
            assert f"ARG {label}=unknown" in found[name]
            assert f'org.opencontainers.image.{label.lower()}="${label}"' in "".join(found[name])
            assert f"--build-arg \"{label}=$" in (DOCKER / "image").read_text()
    for name in TARGETS:  # a program that is built names the commit
        assert f'RUN docker/image-program "$PROGRAM" {name} /opt/tessera "$REVISION"' in found[f"{name}-build"]
    assert '-DTESSERA_COMMIT="${commit/#unknown/}"' in (DOCKER / "image-program").read_text()
    # The one that is for GPUs does not work on the CPU unless somebody says so.
    assert "ENV TESSERA_BACKEND=cuda" in found["cuda"] and "_BACKEND" not in "".join(found["cpu"])


@pytest.fixture
def entry(tmp_path):
    """Runs the entrypoint with programs that say what the test wants; returns what it said, and what it started."""
    for path, text in (("tessera", 'echo "$$ $@"'),
                       ("nvidia-smi", '[ "$GPU" ] || exit 9; [ "$GPU" != hangs ] || exec sleep 60; echo "$GPU"'),
                       ("df", 'echo; [ "$SHM" ] || exit 1; echo "${SHM}M"')):
        (tmp_path / path).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / path).chmod(0o755)

    def run(*words, **env):
        one = subprocess.Popen([DOCKER / "entrypoint", *words], env={"PATH": f"{tmp_path}:/usr/bin:/bin", **env},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = one.communicate(timeout=service.PATIENCE_S)
        assert one.returncode == 0, err
        return err, out.strip() == " ".join([str(one.pid), *words])  # its own process: signals arrive

    return run


def test_an_entrypoint_says_what_it_found_and_gives_way(entry):
    said, gave_way = entry("serve", "amqp://me:s3cret@host:5672/", GPU="NVIDIA H100, 580.1", SHM="16000")
    assert gave_way and "s3cret" not in said and "amqp://host:5672/" in said
    assert "GPU: NVIDIA H100, 580.1" in said and "16000 MiB" in said and "small" not in said
    said, gave_way = entry("serve", RABBITMQ_URL="amqp://me:s3cret@other/", SHM="64", TESSERA_BACKEND="cuda")
    assert gave_way and "amqp://other/" in said and "s3cret" not in said
    assert "GPU: none" in said and "--gpus all" in said
    assert "/dev/shm is small" in said and "--shm-size 1g" in said and "--ipc host" in said
    said, gave_way = entry("serve")
    assert gave_way and "/dev/shm: none" in said and "broker: none named" in said
    assert "GPU: none" in said and "--gpus" not in said  # nobody asked for one
    assert entry("hash", "synthetic:room") == ("", True)


@pytest.mark.parametrize(
    "words, env, told",
    [
        (("--amqp-url", "amqp://u:s3cret@one:5672/"), {"RABBITMQ_URL": "amqp://two/"}, "amqp://one:5672/"),
        (("--amqp-url=amqps://u:s3cret@one/v",), {"RABBITMQ_URL": "amqp://two/"}, "amqps://one/v"),
        ((), {"TESSERA_AMQP_URL": "amqp://[::1]:5672/", "RABBITMQ_URL": "amqp://two/"}, "amqp://[::1]:5672/"),
        ((), {"RABBITMQ_URL": "amqp://u:s3c@ret@one/?heartbeat=5"}, "amqp://one/"),
        (("shm:/a", "amqp://u:s3cret@one/"), {"RABBITMQ_URL": "amqp://two/"}, "amqp://one/"),
        # Beside sources the service does not use it.
        (("shm:/a",), {"RABBITMQ_URL": "amqp://u:s3cret@two/"},
         "none among the sources; that of --amqp-url or RABBITMQ_URL is for a service without sources"),
        (("shm:/a",), {}, "none among the sources"),
        ((), {"RABBITMQ_URL": "amqp:/u:s3cret@h"}, "one is named, but its address does not begin with amqp:// or amqps://"),
        ((), {"RABBITMQ_URL": "u:s3cret"}, "one is named, but its address does not begin with amqp:// or amqps://"),
        (("--amqp-url=u:s3cret@h",), {}, "one is named, but its address does not begin with amqp:// or amqps://"),
        ((), {"RABBITMQ_URL": "amqp://u:s3cret"},
         "one is named, but its address is not of the form amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        ((), {"RABBITMQ_URL": "amqp://u:p/s3cret"},
         "one is named, but its address is not of the form amqp://USER:PASSWORD@HOST:PORT/VHOST"),
    ],
)
def test_an_entrypoint_names_the_broker_that_serve_would_take_and_no_password(entry, words, env, told):
    said, gave_way = entry("serve", *words, **env)
    assert gave_way and "s3c" not in said
    assert [line for line in said.splitlines() if "broker: " in line] == [f"entrypoint: broker: {told}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_while_it_looks_for_a_gpu_stops(entry, number, tmp_path):
    apart = ["unshare", "--pid", "--fork", "--kill-child"]  # there the entrypoint is the first process
    if os.geteuid() != 0 or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("processes of one's own need root and unshare")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\ntouch $0.asked\nsleep 2\n")
    one = subprocess.Popen([*apart, DOCKER / "entrypoint", "serve"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + service.PATIENCE_S
    while not (tmp_path / "nvidia-smi.asked").exists() and time.monotonic() < until:
        time.sleep(0.01)
    children = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
    os.kill(int(children[0]), number)
    out, err = one.communicate(timeout=service.PATIENCE_S)
    assert one.returncode == 128 + number and out == "", err  # the program was not started


def test_a_driver_that_hangs_does_not_keep_the_service_from_starting(entry):
    begun = time.monotonic()
    said, gave_way = entry("serve", GPU="hangs")
    assert gave_way and time.monotonic() - begun < 30
    assert "GPU: unknown, since nvidia-smi did not answer within 5 s" in said


def test_the_list_of_packages_is_sound():
    if not shutil.which("dpkg-query"):
        pytest.skip("dpkg-query is not there: no Debian")
    for parts in ((), ("npm/three@0.187.0", "generic/boost@1.74.0")):
        told = subprocess.run([DOCKER / "sbom", "tessera", "1.2.3", *parts], env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
                              capture_output=True, text=True, check=True).stdout
        bill = json.loads(told)
        check_packages(bill, "1.2.3", "libc6")
        assert bill["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
        inside = [one["relatedSpdxElement"] for one in bill["relationships"] if one["relationshipType"] == "CONTAINS"]
        assert inside == ["SPDXRef-npm-three", "SPDXRef-generic-boost"][:len(parts)]
        assert all(f'"pkg:{part}"' in told for part in parts)


def test_the_program_that_an_image_holds_has_a_list_of_packages(tessera, tmp_path):
    if not shutil.which("dpkg-query"):
        pytest.skip("dpkg-query is not there: no Debian")
    (tmp_path / "tessera").symlink_to(Path(tessera).resolve())
    asked = re.search(r"^version=\$\((.*)\) \|\|", (DOCKER / "image-finish").read_text(), re.MULTILINE)[1]
    done = subprocess.run(["bash", "-c", f'set -euo pipefail; "$0" tessera "$({asked})"', DOCKER / "sbom"],
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version = re.search(r"^project\(tessera VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    check_packages(json.loads(done.stdout), version, "libc6")


@pytest.mark.parametrize(
    "words", [("tessera", "0.1.0\nbuild"), ("tessera", ""), ('tes"sera', "1"), ("tessera", "1 2"), ("a\\", "1"),
              ("tessera", "1", "three@1"), ("tessera", "1", 'npm/th"ree@1'), ("tessera", "1", "npm/three@")])
def test_what_would_be_no_list_of_packages_is_refused(words):
    done = subprocess.run([DOCKER / "sbom", *words], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("sbom: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("group", ["b.*d", "nothing", "-v", ""])
def test_a_group_of_packages_that_is_none_is_refused(group):
    done = subprocess.run([DOCKER / "install-packages", "build", group], capture_output=True, text=True)
    assert done.returncode == 2 and f"no group [{group}] in packages.txt" in done.stderr and "(groups: build web" in done.stderr


@pytest.mark.parametrize("words", [("bookworm", "--mirror", "http://localhost:9/"), ("bookworm", "--keep"), ("--nothing",), ()])
def test_options_of_try_distribution_stand_before_the_suite(words):
    done = subprocess.run([DOCKER / "try-distribution", *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"})
    assert done.returncode == 2 and "usage: try-distribution" in done.stderr


@pytest.mark.parametrize(
    "release, status, told",
    [
        ("release 11.8, V11.8.89", 1, "nvcc is of CUDA 11, and C++20 wants 12 or newer"),
        ("of something else", 1, "nvcc is of CUDA unknown"),
        ("release 12.0, V12.0.76", 9, ""),  # goes on to the viewer, which is not built here
        ("release 13.0, V13.0.88", 9, ""),
    ],
)
def test_an_image_is_not_built_with_an_nvcc_that_is_too_old(release, status, told, tmp_path):
    for program, text in (("nvcc", f"echo 'Cuda compilation tools, {release}'"), ("npm", "exit 9")):
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    done = subprocess.run([DOCKER / "image-program", "source", "cuda", tmp_path / "prefix"], capture_output=True, text=True,
                          env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == status and told in done.stderr, done.stderr


UBUNTU, DEBIAN = "Origin: Ubuntu", "Origin: Debian"


@pytest.mark.parametrize(
    "release, suite, packages, asked",
    [
        (DEBIAN, "bookworm", (), "--variant=minbase bookworm FOLDER MIRROR"),
        (DEBIAN, "trixie", ("git", "make"), "--variant=minbase --include=git,make trixie FOLDER MIRROR"),
        # Of no suite that debootstrap knows: it makes all Ubuntus alike.
        (UBUNTU, "zany", (), "--variant=minbase --components=main,universe zany FOLDER MIRROR gutsy"),
        (UBUNTU, "zany", ("git",), "--variant=minbase --include=git --components=main,universe zany FOLDER MIRROR gutsy"),
    ],
)
def test_a_bare_distribution_has_the_parts_that_packages_are_in(release, suite, packages, asked, tmp_path):
    for program, text in (("curl", f"echo '{release}'"), ("debootstrap", f"echo $@ > {tmp_path}/asked")):
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    done = subprocess.run([DOCKER / "bare-distribution", suite, "MIRROR", "FOLDER", *packages], capture_output=True, text=True,
                          env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "asked").read_text().strip() == asked


def check_packages(bill, version, some):
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    packages = {one["name"]: one for one in bill["packages"]}
    assert packages["tessera"]["versionInfo"] == version and some in packages
    ids = [one["SPDXID"] for one in bill["packages"]]
    assert len(set(ids)) == len(ids)
    for one in bill["packages"]:
        assert one["versionInfo"] and one["downloadLocation"] == "NOASSERTION" and one["filesAnalyzed"] is False
    assert {one["relatedSpdxElement"] for one in bill["relationships"]} == set(ids)
    return packages


@pytest.fixture(scope="module")
def workshop(tessera, tmp_path_factory):
    """A folder with the installed program, and a storage of images in it that keeps the base for the next image."""
    if not shutil.which("buildah") or not shutil.which("debootstrap"):
        pytest.skip("buildah or debootstrap is not installed: docker/install-packages image")
    if os.geteuid() != 0:
        pytest.skip("only root builds images")
    build = Path(tessera).parent
    if not (build / "cmake_install.cmake").is_file():
        pytest.skip("the program does not lie in a build's folder")
    work = tmp_path_factory.mktemp("image")
    subprocess.run(["cmake", "--install", build, "--prefix", work / "ready", "--strip"], check=True, stdout=subprocess.DEVNULL)
    # A folder that outlives the test keeps the base for the next one.
    return work, Path(os.environ.get("IMAGE_STORAGE", work / "storage"))


@contextlib.contextmanager
def image_for(target, workshop):
    """The image's configuration, its files in a folder, and the list of its packages."""
    work, storage = workshop
    made = subprocess.run([DOCKER / "image", "--target", target, "--program", work / "ready", "--storage", storage,
                           "--out", work / "out"], capture_output=True, text=True, timeout=1800)
    if "cannot be made (above)" in made.stderr:
        pytest.skip("no mirror of packages is reached: " + made.stderr[-500:])
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    options = ["buildah", "--storage-driver", "vfs", "--root", storage / "images", "--runroot", storage / "run"]

    def ask(*words):
        return subprocess.run([*options, *words], capture_output=True, text=True, check=True).stdout.strip()

    container = ask("from", "--pull-never", f"tessera:{target}")
    try:
        config = json.loads(ask("inspect", "--type", "image", f"tessera:{target}"))["Docker"]["config"]
        yield config, Path(ask("mount", container)), work / "out" / f"tessera-{target}.spdx.json"
    finally:
        ask("rm", container)


@pytest.fixture(scope="module")
def image(workshop):
    with image_for("cpu", workshop) as made:
        yield made


@pytest.fixture(scope="module")
def cuda_image(tessera, workshop):
    told = subprocess.run([tessera, "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(r"CUDA \d", told):
        pytest.skip("the program was built without CUDA")
    with image_for("cuda", workshop) as made:
        yield made


@pytest.mark.parametrize("target", ["image", "cuda_image"])
def test_an_image_says_what_it_is(target, tessera, request):
    config, root, bill = request.getfixturevalue(target)
    assert config["User"] == "tessera" and config["Entrypoint"] == ["entrypoint"] and config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"] == ["CMD", "tessera", "health"]
    labels = config["Labels"]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z", labels["org.opencontainers.image.created"])
    assert labels["org.opencontainers.image.base.name"].startswith("localhost/tessera-base:")
    assert labels["org.opencontainers.image.version"] != "unknown" and labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    packages = check_packages(json.loads(bill.read_text()), labels["org.opencontainers.image.version"], "librabbitmq4")
    lock = json.loads((ROOT / "net" / "web" / "package-lock.json").read_text())["packages"]
    assert packages["three"]["versionInfo"] == lock["node_modules/three"]["version"] and "boost" in packages
    told = subprocess.run([tessera, "--version"], capture_output=True, text=True, check=True).stdout
    assert ("cuda" in packages) == bool(re.search(r"CUDA \d", told))
    assert not list(root.glob("usr/bin/*g++*")) and not (root / "src").exists()


# The container that an engine would make: its root cannot be written, the volume and /tmp can, and /dev/shm is the host's.
CONTAINER = """
set -e
root=$1 volume=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind /dev/shm "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o "mode=$volume" tmpfs "$root/var/lib/tessera"
mount -o remount,ro,bind "$root"
exec chroot --userspec=tessera "$root" "$@"
"""


def inside(image, *words, volume="1777", env=None):
    """The command that runs the image's own with these words, as `docker run --read-only` does."""
    config, root, _ = image
    variables = [*config["Env"], *(f"{name}={value}" for name, value in (env or {}).items())]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONTAINER, "sh", str(root), volume,
            "/usr/bin/env", "-i", *variables, *words]


def test_a_container_serves_and_takes_keyframes_from_the_hosts_shared_memory(image, recording, names, wanted):
    port, metrics = ports.free_port(), ports.free_port()
    env = {"TESSERA_PORT": port, "TESSERA_METRICS_PORT": metrics, "TESSERA_TOKEN": "s3cret", "TESSERA_VOXEL_SIZE": "0.05",
           "TESSERA_TRUNCATION": "0.15", "TESSERA_UNLINK": "false"}
    command = inside(image, "entrypoint", "serve", f"shm:{names.prefix}", env=env)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        log = []
        for line in process.stdout:
            log.append(line)
            if line.startswith("metrics on"):
                break
        assert process.poll() is None, "".join(log)
        assert any("entrypoint: /dev/shm:" in line for line in log) and any("GPU: " in line for line in log)

        def fetch(path, base=port, **options):
            return service.Service.fetch(None, path, f"http://127.0.0.1:{base}", **options)

        token = {"Authorization": "Bearer s3cret"}
        assert fetch("/", headers=token)[0] == 200 and fetch("/v1/map")[0] == 401
        assert fetch("/metrics", metrics)[0] == 200
        health = subprocess.run(inside(image, "tessera", "health", env=env), capture_output=True, text=True, timeout=60)
        assert health.returncode == 0 and "200 ok" in health.stdout, health.stderr
        with tessera_client.connect(f"shm:{names.prefix}", mode=0o644) as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)

        def whole():
            status, body = fetch("/v1/map", headers=token)
            return status == 200 and json.loads(body)["keyframes"] == len(recording) and json.loads(body)["hash"] == wanted

        until = time.monotonic() + service.PATIENCE_S
        while not whole():
            assert process.poll() is None and time.monotonic() < until, fetch("/v1/map", headers=token)
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # to the process that the engine started
        assert process.wait(service.PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_image_for_gpus_ends_without_one_and_says_what_it_wants(cuda_image):
    if shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU here, perhaps")
    env = {"TESSERA_PORT": 0, "TESSERA_METRICS_PORT": 0, "TESSERA_TOKEN": "t"}
    done = subprocess.run(inside(cuda_image, "entrypoint", "serve", env=env), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "GPU: none. This image wants NVIDIA's container toolkit and --gpus all" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("tessera: backend is cuda, but no GPU was found: no NVIDIA driver")


@pytest.mark.parametrize(
    "words, how, status, told",
    [
        (("serve",), {}, 2, "TESSERA_TOKEN|--token"),
        (("serve", "--token", "t"), {"volume": "0755"}, 1, "/var/lib/tessera/journal"),
        (("serve", "--token", "t", "--backend", "cuda"), {}, 2, "backend is cuda, but"),
    ],
    ids=["no token", "a volume that may not be written", "no GPU"],
)
def test_what_a_container_cannot_have_is_said(image, words, how, status, told):
    env = {"TESSERA_PORT": 0, "TESSERA_METRICS_PORT": 0}
    done = subprocess.run(inside(image, "entrypoint", *words, env=env, **how), capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tessera: ") and any(part in last for part in told.split("|")), last
