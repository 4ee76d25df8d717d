"""Programs that behave like tessera, its tests and NVIDIA's tools on a machine with a GPU, to test what starts and reads them."""

import json
import sys

NAMES = ("tessera", "test_gpu_cuda", "bench_latency", "bench_upload", "bench_share", "bench_throughput", "nvidia-smi", "compute-sanitizer", "ncu")

PROGRAM = r'''
import json, os, pathlib, subprocess, sys, time

here = pathlib.Path(__file__).parent
name, words = pathlib.Path(__file__).name, sys.argv[1:]
said = json.loads((here / "said.json").read_text())
told = f"{name} {' '.join(words)}"
with open(here / "calls", "a") as calls:
    print(told, *(f"{key}={os.environ[key]}" for key in sorted(os.environ) if key.startswith("TESSERA_")), file=calls)
for part, answer in said:
    if part in told:
        if "serve" in answer:
            sys.path.insert(0, str(here))
            import pretend_serve
            sys.exit(pretend_serve.run(here, answer["serve"]))
        if answer.get("memory"):  # what is used on the GPU now: what a service that runs takes, or next to nothing
            used = here / "memory"
            print(used.read_text() if used.exists() else 3)
            sys.exit(0)
        if answer.get("hang"):
            child = subprocess.Popen(["/bin/sleep", "600"])
            part = here / f"hangs.{os.getpid()}"
            part.write_text(f"{os.getpid()} {child.pid}")
            part.rename(here / "hangs")
            time.sleep(600)
        if "times" in answer:  # the CSV file of tessera bench
            pathlib.Path(words[words.index("--times") + 1]).write_text(answer["times"])
        sys.stderr.write(answer.get("err", ""))
        sys.stdout.write(answer.get("out", ""))
        sys.exit(answer.get("status", 0))
sys.exit(f"nobody said what to answer to: {told}")
'''

SERVE = r"""
import http.server, json, re, signal, sys, threading


def run(here, how):
    posted, refused = set(), 0
    ended = threading.Event()

    class Answers(http.server.BaseHTTPRequestHandler):
        def answer(self, status, text):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words):
            pass

        def do_GET(self):
            if self.path == "/v1/map" and how.get("restarting"):
                self.answer(503, "{}")
            elif self.path == "/v1/map":
                self.answer(200, json.dumps(how["map"] if "map" in how else {"keyframes": len(posted), "hash": f"{len(posted):032x}"}))
            elif self.path == "/metrics":
                counted = f'tessera_keyframes_not_now_total{{reason="room"}} {how.get("refused", refused)}\n'
                self.answer(200, how.get("metrics", "") + counted)
            else:
                self.answer(how.get("health", 200), "{}")

        def do_POST(self):
            nonlocal refused
            self.rfile.read(int(self.headers["Content-Length"]))
            if len(posted) < how.get("room", 1000):
                posted.add(self.headers["X-Keyframe-Id"])
                return self.answer(200, json.dumps({"outcome": "accepted"}))
            refused += 1
            self.answer(503, json.dumps({"error": "not_now", "reason": how.get("reason", "there is no room for it")}))

        def do_DELETE(self):
            posted.discard(self.path.rpartition("/")[2])
            self.answer(how.get("retract", 200), "{}")

    signal.signal(signal.SIGTERM, lambda *_: ended.set() if not how.get("deaf") else None)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    if "memory" in how:
        (here / "memory").write_text(str(how["memory"]))
    address = f"http://127.0.0.1:{web.server_address[1]}"
    print(f"listening on {address}/\nmetrics on {address}/metrics\n{how.get('log', '')}", flush=True)
    ended.wait(600)
    if "memory" in how:
        (here / "memory").unlink()
    return how.get("status", 0)
"""

PASSED = "All tests passed (9040 assertions in 34 test cases)\n"
CASES = ("rays, as a set [of rays]", "meshes", "a keyframe taken whole")


def hash_at(voxel_m, cafe=0xcafe):
    """The map's at a voxel size; with another word that of a part of the map."""
    return f"{cafe:016x}{round(voxel_m * 1000) if cafe == 0xcafe else 0:016x}"


def launch(kernel, us, unit="us"):
    """As ncu prints a launch."""
    line = "    ---------------------- ----------- ------------\n"
    return (f"  void {kernel} (1056, 1, 1)x(256, 1, 1), Context 1, Stream 21, Device 0, CC 9.0\n"
            "    Warning: Data collection happened without fixed GPU frequencies. Profiling results may be inconsistent.\n"
            "    Section: Command line profiler metrics\n"
            f"{line}    Metric Name            Metric Unit Metric Value\n{line}"
            f"    gpu__time_duration.sum {unit:>11} {us:>12}\n{line}\n")


def bench(voxel_m, total_ms, per_s, digits=None, regions=(40,)):
    """As `tessera bench --backend cuda --threads 2 --json` prints; `regions` of each GPU."""
    upload, rays, integrate, extract = (total_ms * share for share in (0.2, 0.1, 0.2, 0.3))
    times = {"upload": upload, "rays": rays, "integrate": integrate, "extract": extract, "device": upload + rays + integrate + extract,
             "total": total_ms}
    return json.dumps({
        "backend": "cuda", "threads": 2, "voxel_m": voxel_m, "truncation_m": 3 * voxel_m, "keyframes": 100, "points": 27_300_000,
        "rays": 400_000, "stages": {name: {"median_ms": ms, "p99_ms": 2 * ms} for name, ms in times.items()}, "triangles": 25_535,
        "vertices": 14_688, "field_bytes": 6_000_000, "peak_rss_bytes": 400_000_000, "map_hash": digits or hash_at(voxel_m),
        "devices": [{"name": "NVIDIA", "regions": count, "blocks": 30 * count, "moves_out": 0, "moves_in": 0} for count in regions],
        "device": {"kernels": 12.0, "copies": 5.0, "bytes_up": 4_160_000.0, "bytes_down": 2048.0, "done_again": 0, "upload_gb_per_s": 24.1,
                   "upload_share_of_total": 0.2},
        "throughput": {"threads": 2, "keyframes": 2000, "keyframes_per_s": per_s, "one_thread_keyframes_per_s": per_s / 2, "speedup": 2.0},
    }) + "\n"


def latency(p50_ms, p99_ms, rate_hz=100.0):
    """As `bench_latency --json` prints."""
    return json.dumps({
        "points": 50_000.0, "rate_hz": rate_hz, "kept_up": True, "keyframes_seen": 900, "latency_p50_ms": p50_ms, "latency_p99_ms": p99_ms,
        "patch_age_p50_ms": 2 * p50_ms, "patch_age_p99_ms": 3 * p99_ms, "cpu_cores": 1.5, "stages": {"tessera_stage_duration.encode": {"count": 900.0, "mean_ms": 1.0, "p50_ms": 0.9, "p99_ms": 2.0}},
    }) + "\n"


def throughput(per_s, points=50_000):
    """As `bench_throughput --json` prints."""
    return json.dumps({"points": points, "producers": 8, "accepted_per_s": per_s, "kernels_each": 14.25, "copies_each": 5.5,
                       "cpu_cores": 7.5}) + "\n"


def upload(populated=True):
    """As `bench_upload --json` prints."""
    def took(us):
        return {"median_us": us, "p99_us": 2 * us}

    return json.dumps({
        "device": "NVIDIA H100 80GB HBM3", "points": 273_000, "bytes": 4_095_000, "segments": 200, "populated": populated,
        "registers_read_only": True, "mapping": took(300.0 if populated else 5.0), "ways": [
            {"name": "memcpy to pinned, copy", "host": took(410.0), "ready": took(480.0), "gb_per_s": 8.53},
            {"name": "registered for reading, copy", "host": took(900.0), "ready": took(600.0), "gb_per_s": 6.8,
             "steps": {"copy": took(80.0), "register": took(520.0), "unregister": took(380.0)}},
            {"name": "mapped for writing", "failed": "cudaHostRegister: not supported"}]}) + "\n"


def share(voxel_m, whole, shares, digits=None, add_up=True):
    """As `bench_share --json` prints; `whole` keyframes/s, and of each share keyframes/s and regions."""
    return json.dumps({
        "gpu": "NVIDIA H100 80GB HBM3", "voxel_m": voxel_m, "keyframes": 100, "rounds": 20,
        "whole": {"keyframes_per_s": whole, "regions": 40, "blocks": 1200, "map_hash": digits or hash_at(voxel_m), "rays_handed": 0.0},
        "shares": [{"keyframes_per_s": per_s, "regions": regions, "blocks": 30 * regions, "map_hash": "beef", "rays_handed": 900.5}
                   for per_s, regions in shares],
        "ratio": min(per_s for per_s, _ in shares) / whole, "hashes_add_up": add_up}) + "\n"


def on_gpus(count, moves=0, keyframes=100):
    """/metrics of a service on so many GPUs."""
    lines = [f'tessera_device_info{{device="{i}",name="NVIDIA H100 80GB HBM3"}} 1' for i in range(count)]
    lines += [f'tessera_device_region_moves_total{{device="0",direction="{way}"}} {moves}' for way in ("out", "in")]
    lines += ['tessera_device_regions{device="0",place="host"} 7', 'tessera_device_host_bytes{device="0"} 1048576',
              f"tessera_live_keyframes {keyframes}", "tessera_lost_actors_total 0"]
    return "\n".join(lines) + "\n"


def broken(gpus, left, trap=True):
    """A service of which some GPUs were broken on purpose; by a trap all at once."""
    error = ("cudaEventQuery(event_): cudaErrorLaunchFailure (unspecified); the driver answers nothing more" if trap else
             "cudaLaunchKernelEx(&how, kernel, arguments...): cudaErrorInvalidValue (invalid argument)")
    log = "".join(
        f"warning drill: breaking GPU {i + 1} of {gpus} (NVIDIA)\n"
        f"error device {i} (NVIDIA) is not used any more: device failed: a.cu:7: {error}; 9 regions are filled again elsewhere\n"
        for i in range(gpus - left))
    log += "" if left else "warning no device is left: cpu takes over\n"
    return {"map": {"keyframes": 100, "hash": hash_at(0.05)}, "log": log,
            "metrics": on_gpus(left) + f"tessera_device_failures_total {gpus - left}\n"}


def usual():
    """What all of them answer where nothing is wrong; of several parts that fit a call the first counts."""
    said = [
        ["nvidia-smi --query-gpu=memory.used", {"memory": True}],
        ["nvidia-smi", {"out": "NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB, 5, 16, 5, 16, 1980 MHz, 700.00 W\n"}],
        ["tessera --version", {"out": "tessera 0.1.0\n"}],
        ["tessera hash synthetic:room --limit 1", {"out": "beef keyframes=1\n", "err": "backend cuda, GPU 0 (NVIDIA H100 80GB HBM3)\n"}],
        ["--list-test-names-only", {"out": "".join(f"{case}\n" for case in CASES), "status": len(CASES)}],
        ["--tool racecheck", {"out": PASSED + "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"}],
        ["compute-sanitizer", {"out": PASSED + "========= ERROR SUMMARY: 0 errors\n"}],
        ["ncu ", {"out": "".join([
            launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "37.34"),
            launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "30.00")])}],
        ["bench_latency", {"out": latency(4.0, 25.0)}],
        ["bench_throughput", {"out": throughput(1500)}],
        ["--no-populate", {"out": upload(False)}],
        ["bench_upload", {"out": upload()}],
        ["test_gpu_cuda", {"out": PASSED}],
    ]
    for voxel_m, total_ms, per_s in ((0.05, 0.225, 6600.0), (0.02, 0.6, 3000.0), (0.01, 0.6, 3000.0)):
        said.append([f"tessera hash SOURCE --voxel-size {voxel_m}", {"out": f"{hash_at(voxel_m)} keyframes=100 blocks=5000\n"}])
        said.append([f"bench_share SOURCE --voxel-size {voxel_m}", {"out": share(voxel_m, per_s, [(per_s * 1.7, 20), (per_s * 1.8, 20)])}])
        said.append([f"tessera bench SOURCE --voxel-size {voxel_m}", {"out": bench(voxel_m, total_ms, per_s)}])
    whole = {"map": {"keyframes": 100, "hash": hash_at(0.01)}, "metrics": on_gpus(1, moves=12)}
    said += [
        ["--drill launch@50,launch@100 --gpus 2", {"serve": broken(2, 0, trap=False)}],
        ["--drill launch@50 --gpus 1", {"serve": broken(1, 0, trap=False)}],
        ["--drill launch@", {"serve": broken(2, 1, trap=False)}],
        ["--drill gpu@50 --gpus 2", {"serve": broken(2, 0)}],
        ["--drill gpu@100 --gpus 2", {"serve": broken(2, 0)}],
        ["--drill gpu@", {"serve": broken(1, 0)}],
        ["hash synthetic:building --voxel-size 0.05 --limit 400", {"out": f"{hash_at(0.05)} keyframes=400 blocks=24000\n"}],
        ["bench synthetic:building", {"out": bench(0.05, 1.0, 1000.0)}],
        ["serve synthetic:building", {"serve": {"map": {"keyframes": 400, "hash": hash_at(0.05)},
                                                "metrics": on_gpus(1, moves=12, keyframes=400)}}],
        ["--voxel-size 0.05 --backend cuda --gpus 1 --memory-pool 64MiB --host-memory 0 --port", {"serve": {"room": 4}}],
        ["--backend cpu --port", {"serve": {}}],
        ["--gpus 1 --memory-pool 64MiB --memory-cap 0 --port", {"serve": {"memory": 567}}],  # at rest
        ["--memory-cap 1024MiB", {"serve": {**whole, "memory": 1503}}],
        ["--memory-cap 4096MiB", {"serve": {**whole, "memory": 2900}}],
    ]
    return said


def install(folder, *faults):
    """Puts them into a folder, which may stand in $PATH; `faults`, [part of a call, answer], go before what is usual."""
    for name in NAMES:
        (folder / name).write_text(f"#!{sys.executable} -SE\n{PROGRAM}", encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "pretend_serve.py").write_text(SERVE, encoding="utf-8")
    (folder / "said.json").write_text(json.dumps([*faults, *usual()]), encoding="utf-8")
    return folder
