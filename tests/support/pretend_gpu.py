"""Programs that behave like tessera, its tests and NVIDIA's tools on a machine with a GPU, to test what starts and reads them."""

import json
import sys

NAMES = ("tessera", "test_gpu_cuda", "bench_latency", "nvidia-smi", "compute-sanitizer", "ncu")

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
        if answer.get("hang"):
            child = subprocess.Popen(["/bin/sleep", "600"])
            (here / "hangs.part").write_text(f"{os.getpid()} {child.pid}")
            (here / "hangs.part").rename(here / "hangs")
            time.sleep(600)
        sys.stderr.write(answer.get("err", ""))
        sys.stdout.write(answer.get("out", ""))
        sys.exit(answer.get("status", 0))
sys.exit(f"nobody said what to answer to: {told}")
'''

PASSED = "All tests passed (9040 assertions in 34 test cases)\n"


def launch(kernel, us, unit="us"):
    """As ncu prints a launch."""
    line = "    ---------------------- ----------- ------------\n"
    return (f"  void {kernel} (1056, 1, 1)x(256, 1, 1), Context 1, Stream 21, Device 0, CC 9.0\n"
            "    Warning: Data collection happened without fixed GPU frequencies. Profiling results may be inconsistent.\n"
            "    Section: Command line profiler metrics\n"
            f"{line}    Metric Name            Metric Unit Metric Value\n{line}"
            f"    gpu__time_duration.sum {unit:>11} {us:>12}\n{line}\n")


def bench(voxel_m, total_ms, per_s):
    """As `tessera bench --backend cuda --threads 2 --json` prints."""
    upload, rays, integrate, extract = (total_ms * share for share in (0.2, 0.1, 0.2, 0.3))
    times = {"upload": upload, "rays": rays, "integrate": integrate, "extract": extract, "device": upload + rays + integrate + extract,
             "total": total_ms}
    return json.dumps({
        "backend": "cuda", "threads": 2, "voxel_m": voxel_m, "truncation_m": 3 * voxel_m, "keyframes": 100, "points": 27_300_000,
        "rays": 400_000, "stages": {name: {"median_ms": ms, "p99_ms": 2 * ms} for name, ms in times.items()}, "triangles": 25_535,
        "vertices": 14_688, "field_bytes": 6_000_000, "peak_rss_bytes": 400_000_000, "map_hash": f"cafe{voxel_m:g}",
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


def usual():
    """What all of them answer where nothing is wrong; of several parts that fit a call the first counts."""
    said = [
        ["nvidia-smi", {"out": "NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB, 5, 16, 5, 16, 1980 MHz, 700.00 W\n"}],
        ["tessera --version", {"out": "tessera 0.1.0\n"}],
        ["tessera hash synthetic:room --limit 1", {"out": "beef keyframes=1\n", "err": "backend cuda, GPU 0 (NVIDIA H100 80GB HBM3)\n"}],
        ["--tool racecheck", {"out": PASSED + "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"}],
        ["compute-sanitizer", {"out": PASSED + "========= ERROR SUMMARY: 0 errors\n"}],
        ["ncu ", {"out": "".join([
            launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "37.34"),
            launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "30.00")])}],
        ["bench_latency", {"out": latency(4.0, 25.0)}],
        ["test_gpu_cuda", {"out": PASSED}],
    ]
    for voxel_m, total_ms, per_s in ((0.05, 0.225, 6600.0), (0.02, 0.6, 3000.0), (0.01, 0.6, 3000.0)):
        said.append([f"tessera hash SOURCE --voxel-size {voxel_m}", {"out": f"cafe{voxel_m:g} keyframes=100\n"}])
        said.append([f"tessera bench SOURCE --voxel-size {voxel_m}", {"out": bench(voxel_m, total_ms, per_s)}])
    return said


def install(folder, *faults):
    """Puts them into a folder, which may stand in $PATH; `faults`, [part of a call, answer], go before what is usual."""
    for name in NAMES:
        (folder / name).write_text(f"#!{sys.executable} -SE\n{PROGRAM}", encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "said.json").write_text(json.dumps([*faults, *usual()]), encoding="utf-8")
    return folder
