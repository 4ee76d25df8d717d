"""Settings as a user meets them: flags, environment, file, help, errors."""

import json
import os
import subprocess

import pytest

from conftest import ROOT
from support import service


def names(tessera):
    status, out, err = service.run(tessera, "settings")
    assert status == 0, err
    return [line.split(" = ")[0] for line in out.splitlines() if " = " in line and not line.startswith("#")]


def test_the_printed_settings_file_is_the_committed_one(tessera):
    status, out, err = service.run(tessera, "settings")
    assert status == 0
    assert out == (ROOT / "config" / "tessera.toml").read_text()


def test_help_of_serve_and_record_tells_every_setting(tessera):
    helps = {command: service.run(tessera, command, "--help") for command in ("serve", "record")}
    assert all(status == 0 for status, out, err in helps.values())
    for name in names(tessera):
        out = helps["record" if name == "compression" else "serve"][1]
        assert f"--{name}" in out
        assert "TESSERA_" + name.upper().replace("-", "_") in out
    assert helps["serve"][1].count("default ") >= len(names(tessera)) - 1


@pytest.mark.parametrize("flag", ["--version", "-V", "version"])
def test_version(tessera, flag):
    status, out, err = service.run(tessera, flag)
    assert status == 0 and out.startswith("tessera ")
    told = [line.split(" ", 1)[0] for line in out.splitlines()]
    assert [word for word in told if word != "commit"] == ["tessera", "build", "CUDA", "CAF", "Draco", "Boost", "RocksDB"]


def test_help_is_there_by_each_name(tessera):
    top = service.run(tessera, "--help")
    assert top[0] == 0 and "Exit status" in top[1]
    assert service.run(tessera, "help") == service.run(tessera, "-h") == service.run(tessera, "help", "help") == top
    for command in ("serve", "hash", "mesh", "publish", "bench", "journal", "settings"):
        status, out, err = service.run(tessera, command, "--help")
        assert status == 0 and "Exit status" in out
        assert "{false}" not in out and "{true}" not in out
        assert service.run(tessera, "help", command) == (status, out, err)


@pytest.mark.parametrize(
    "words, told",
    [
        ((),
         "a command is missing: serve, hash, mesh, slice, rays, publish, bench, record, health, journal, settings, completion "
         "or man; see: tessera --help"),
        (("serv",), 'there is no command "serv"; did you mean serve?; see: tessera --help'),
        (("help", "msh"), 'there is no command "msh"; did you mean mesh?; see: tessera --help'),
        (("explode",),
         'there is no command "explode": there are serve, hash, mesh, slice, rays, publish, bench, record, health, journal, '
         'settings, completion or man; see: tessera --help'),
        (("--voxel-size", "1", "serve"), '"--voxel-size" stands where the command should be'),
        (("hash", "synthetic:room", "--voxelsize=1"),
         'there is no option "--voxelsize"; did you mean --voxel-size?; see: tessera hash --help'),
        (("hash", "synthetic:room", "--port", "1"), "tessera hash has no --port; see: tessera hash --help"),
        (("hash", "synthetic:room", "again"), '"again" is one argument too many; see: tessera hash --help'),
        (("hash", "synthetic:room", "--voxel-size"),
         "--voxel-size needs a value: 0.0001 to 100 m, or auto; see: tessera hash --help"),
        (("hash",), "SOURCE is required; see: tessera hash --help"),
        (("serve", "--unlink=perhaps"), 'unlink (--unlink): "perhaps" is not true or false'),
        (("serve", "--config", "/"), "settings file /: it is a folder, not a file"),
        (("serve", "--config", ""), "--config: the name of the file is empty"),
        (("bench", "synthetic:room", "--seconds", "soon"), 'seconds (--seconds): "soon" is not 0 to 1000000000 s'),
        (("hash", "synthetic:room", "--limit", "0"), 'limit (--limit): "0" is not 1 or more keyframes, or all'),
        (("serve", "--amqp-url", "http://h"), "amqp-url: the value given does not begin with amqp:// or amqps://"),
        (("serve", "--store-dir", "/nowhere"), "store-dir is /nowhere: No such file or directory"),
        (("serve", "--bind", "nonsense"), "bind"),
        (("help", "--hlep"), 'stands where the command should be'),
        (("--hlep",), "did you mean --help?"),
        (("-v",), "did you mean -V?"),
        (("hash", "synthetic:room", "--voxel", "1"), "did you mean --voxel-size?"),
        (("bench", "synthetic:room", "--json=yes"), "--json takes no value; see: tessera bench --help"),
        (("serve", "--insecure="), 'insecure (--insecure): "" is not true or false'),
        (("serve", "--trusted-proxy", "10.0.0.0/33"), 'trusted-proxy: "10.0.0.0/33" has a prefix that is not 0 to 32'),
        (("serve", "--trusted-proxy", "127.0.0.1,proxy"), 'trusted-proxy: "proxy" is neither an IPv4 or IPv6 address'),
        (("serve", "--tls-cert", "/c.pem"), "tls-cert: it is set, and tls-key is not"),
        (("serve", "--token", "--port", "0"), "--token needs a value: text of at most 256 bytes; see: tessera serve --help"),
        (("serve", "--region-size=", "--port", "0"), 'region-size (--region-size): "" is not 16 to 256 voxels, a multiple of 8'),
        (("serve", "--shm-prefix=", "--port", "0"), 'shm-prefix (--shm-prefix): "" is not text of 2 to 200 bytes'),
        (("serve", "--unlink", "false", "ftp://x"), "unknown source 'ftp:'"),
        (("serve", "shm:/" + "a" * 200), "one to 199 bytes"),
        (("serve", "amqps://h/", "--amqp-cert", "/c.pem"), "certificate of ours (amqp-cert) without its key (amqp-key)"),
        (("mesh", "synthetic:room", "-o", "a.ply", "-o", "b.ply"),
         "--output is given 2 times, and takes one value; see: tessera mesh --help"),
        (("mesh", "synthetic:room", "-o", ""), "output is '', which does not end in .ply, .glb or .drc"),
        (("publish", "synthetic:room", "--to", "http://127.0.0.1:99999"), "a port that is no number from 1 to 65535"),
        (("publish", "synthetic:room", "--to", "http://127.0.0.1:0"), "a port that is no number from 1 to 65535"),
        (("publish", "synthetic:room", "--to", "http://127.0.0.1:1/#map"), "has a #"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_is_told_in_one_line(tessera, words, told):
    if words[:1] == ("serve",):
        words = ("serve", "--port", "0", "--metrics-port", "0", *words[1:])
    status, out, err = service.run(tessera, *words)
    last = err.strip().splitlines()[-1]
    assert status == 2 and out == ""
    assert last.startswith("tessera: ") and told in last


def test_a_result_that_cannot_be_written_is_a_failure(tessera):
    with open("/dev/full", "w") as full:
        done = subprocess.run([tessera, "settings"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=service.PATIENCE_S)
    assert done.returncode == 1 and b"standard output" in done.stderr


def voxel_size(tessera, *options, env=None):
    status, out, err = service.run(tessera, "bench", "synthetic:room", "--limit", 1, "--json", *options, env=env)
    assert status == 0, err
    return json.loads(out)["voxel_m"], err


def test_a_flag_beats_the_environment_which_beats_the_file(tessera, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[map]\nvoxel-size = 0.25 # coarse\n")
    assert voxel_size(tessera, "--config", file)[0] == 0.25
    assert voxel_size(tessera, env={"TESSERA_CONFIG": str(file)})[0] == 0.25
    assert voxel_size(tessera, "--config", file, env={"TESSERA_VOXEL_SIZE": "0.5"})[0] == 0.5
    assert voxel_size(tessera, "--config", file, "--voxel-size", "0.125", env={"TESSERA_VOXEL_SIZE": "0.5"})[0] == 0.125


def test_names_of_older_deployments_work_or_say_that_they_do_not(tessera):
    assert voxel_size(tessera, env={"MESH_VOXEL_SIZE": "0.5"})[0] == 0.5
    for name in ("MESH_MAX_VERTICES", "MESH_CAMERA_VELOCITY_THRESHOLD"):
        assert f"{name} has no effect" in voxel_size(tessera, "--voxel-size", "0.5", env={name: "7"})[1]


@pytest.mark.parametrize(
    "options, environment, told",
    [
        (("--voxel-size", "0"), {}, ("voxel-size", '"0"', "0.0001 to 100 m")),
        ((), {"TESSERA_PORT": "70000"}, ("port", "TESSERA_PORT", '"70000"', "0 to 65535")),
        (("--config", "/nowhere.toml"), {}, ("/nowhere.toml",)),
        (("--region-size", "20"), {}, ("region-size", '"20"', "multiple of 8")),
        (("--min-range", "5", "--max-range", "2"), {}, ("min-range", "max-range")),
        (("--backend", "gpu"), {}, ("backend", '"gpu"', "auto, cpu or cuda")),
        ((), {"MESH_MEMORY_POOL_SIZE": "1"}, ("memory-pool", "MESH_MEMORY_POOL_SIZE", '"1"', "1 MiB to 1 TiB")),
        (("--such-a-flag",), {}, ("--such-a-flag",)),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_bound(tessera, options, environment, told):
    status, out, err = service.run(tessera, "hash", "synthetic:room", "--limit", 1, *options, env=environment)
    assert status == 2
    for word in told:
        assert word in err


def test_a_voxel_size_can_be_found_automatically(tessera):
    sizes = {voxel_size(tessera, "--voxel-size", "auto", "--shuffle", seed)[0] for seed in (1, 2, 3)}
    assert len(sizes) == 1 and 0.005 < sizes.pop() < 0.2


def test_bench_prints_one_object(tessera):
    status, out, err = service.run(tessera, "bench", "synthetic:room", "--limit", 4, "--json", "--threads", 2)
    assert status == 0, err
    result = json.loads(out)
    assert {"backend", "threads", "voxel_m", "keyframes", "points", "stages", "triangles", "vertices", "peak_rss_bytes",
            "map_hash"} <= set(result)
    assert result["keyframes"] == 4 and result["triangles"] > 0
    for stage in ("rays", "integrate", "extract", "total"):
        assert 0 < result["stages"][stage]["median_ms"] <= result["stages"][stage]["p99_ms"]
    for order in ((), ("--shuffle", 3)):
        digits, counts = service.hash_of(tessera, "synthetic:room", "--limit", 4, *order)
        assert (digits, counts["keyframes"]) == (result["map_hash"], 4), order


def why_not_cuda(tessera):
    """Why the program has no GPU here; None if it has one."""
    status, _, err = service.run(tessera, "serve", "synthetic:room", "--limit", 1, "--port", 0, "--metrics-port", 0, "--backend",
                                 "cuda", "--gpus", "99")
    assert status == 2
    return None if "gpus is 99" in err else err


def test_cuda_without_a_gpu_is_an_error_that_says_what_is_missing(tessera):
    why = why_not_cuda(tessera)
    if why is None:
        pytest.skip("there is a GPU")
    assert "backend is cuda, but " in why
    assert "was built without CUDA" in why or "no NVIDIA driver is installed" in why or "no GPU was found: " in why


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_each_command_says_which_backend_works(tessera, tmp_path, name):
    if name == "auto" and why_not_cuda(tessera) is None:
        pytest.skip("there is a GPU, and auto takes it")
    for command, *options in (("hash",), ("mesh", "-o", tmp_path / "room.ply"), ("bench", "--json")):
        status, out, err = service.run(tessera, command, "synthetic:room", "--limit", 1, "--backend", name, *options)
        assert status == 0, err
        assert err.count("backend cpu") == 1
    assert json.loads(out)["backend"] == "cpu"
    running = service.Service(tessera, "synthetic:room", options=("--limit", 1, "--backend", name))
    try:
        assert sum("backend cpu" in line for line in running.log) == 1
        assert any('backend="cpu"' in sample for sample in running.metrics())
    finally:
        running.stop()


def test_one_thread_and_one_core_are_enough(tessera):
    digits, _ = service.hash_of(tessera, "synthetic:room", "--limit", 4)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # children inherit it
    try:
        for options in ((), ("--threads", 1)):
            running = service.Service(tessera, "synthetic:room", options=("--limit", 4, *options))
            try:
                assert running.wait_for_keyframes(4) == digits
                actors = [actor["role"] for actor in running.get("/v1/actors")]
                assert actors.count("device") == 1
            finally:
                running.stop()
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(
    "words",
    [
        ("hash", "synthetic:room", "amqp://me:SECRET@h/"),
        ("amqp://me:SECRET@h/",),
        ("serve", "amqp//me:SECRET@h/"),
        ("serve", "--amqp-url", "amqp//me:SECRET@h/"),
        ("serve", "--tokenn=SECRET"),
        ("publish", "synthetic:room", "--to", "http://me:SECRET@h"),
        ("publish", "synthetic:room", "--to", "http://h:x/?token=SECRET"),
    ],
    ids=" ".join,
)
def test_secrets_are_not_repeated(tessera, tmp_path, words):
    status, out, err = service.run(tessera, *words)
    assert status == 2 and err and "SECRET" not in out + err


@pytest.mark.parametrize("line", ["token = SECRET", 'token = "SECRET', "amqp-url = amqp://me:SECRET@h/",
                                  'amqp-url = "amqp:/me:SECRET@h/"'])
def test_secrets_of_a_file_are_not_repeated(tessera, tmp_path, line):
    file = tmp_path / "settings.toml"
    file.write_text(line + "\n")
    status, out, err = service.run(tessera, "serve", "--config", file)
    assert status == 2 and ("settings.toml line 1" in err or "amqp-url" in err)
    assert "SECRET" not in out + err


def test_an_empty_value_is_not_the_next_word(tessera):
    """`--token=$TOKEN` with nothing in TOKEN must not make a secret of the next option."""
    status, out, err = service.run(tessera, "serve", "--token=", "--port", "0", "--metrics-port", "0", "--bind", "0.0.0.0")
    assert status == 2 and "bind is 0.0.0.0, which others can reach: give --token" in err


def test_an_address_that_is_not_here_is_told_by_its_setting(tessera):
    status, out, err = service.run(tessera, "serve", "--bind", "192.0.2.1", "--insecure", "--port", "0", "--metrics-port", "0")
    assert status == 1 and "192.0.2.1" in err and "choose another with --bind" in err


def test_mesh_refuses_a_folder_before_the_work(tessera, tmp_path):
    (tmp_path / "room.ply").mkdir()
    status, out, err = service.run(tessera, "mesh", "synthetic:building", "-o", tmp_path / "room.ply")
    assert status == 2 and "room.ply" in err and "folder" in err


def test_mesh_refuses_another_ending_before_the_work(tessera, tmp_path):
    status, out, err = service.run(tessera, "mesh", "synthetic:building", "-o", tmp_path / "room.stl")  # which takes minutes
    assert status == 2 and "room.stl" in err
