"""What happens when a GPU breaks or runs out of memory, shown on the real one: the service goes on, and the map's hash is the
CPU's.

Without a GPU the same is done to the CPU, as far as it can be: its device is killed, and its memory capped.
"""

import array
import contextlib
import json
import re
import struct
import time

from . import served

BLOCK_BYTES = 12_288
MIB = 1 << 20
EMPTY_MAP = "0" * 32
NOTHING = ("shm:/tessera_drill_nothing_",)  # a source that brings nothing: keyframes come by HTTP, or not at all
RATE = 50  # keyframes/s: a drill finds its keyframe
QUIET_S = 90  # until the map is whole again
FULL = re.compile(r"out of memory|no room|memory cap")
TAKEN_OUT = re.compile(r"device \d+ \(.*\) is not used any more: (.*)")


def measure(job, data, failures):
    rows = data["checks"] = []
    for name, check in (("failure", failure), ("eviction", eviction), ("refusal", refusal), ("memory cap", memory_cap)):
        for what, found in _each(check(job), name, failures):
            rows.append({"check": name, "what": what, **found})


def _each(checks, name, failures):
    """What a check yields, and if it fails that; a check yields (what, a function that answers a dictionary)."""
    for what, do in checks:
        begin = time.monotonic()
        try:
            found = do()
            reason = ""
        except served.Failed as e:
            found, reason = {}, str(e)
            failures.append(f"{name}, {what}: {reason}")
        yield what, {**found, "reason": reason, "seconds": round(time.monotonic() - begin, 1)}


def require(condition, words):
    if not condition:
        raise served.Failed(words)


# -- a GPU that breaks ------------------------------------------------------------------

# What breaks, as --drill names it: a kernel that traps takes all GPUs of its process; a launch that the driver refuses, one GPU.
TRAP, LAUNCH, KILLED = "gpu", "launch", "device"
MIDDLE, LAST = "while keyframes come", "after the last keyframe"


def failure(job):
    """Every check: keyframes come, GPUs break, the map is that of the CPU and the service answers and ends as ever."""
    def case(gpus, lost, *breaks):
        return lambda: _survive(job, gpus, lost, breaks)

    if not job.gpu:
        yield "the CPU's device is killed", case(0, 0, (KILLED, MIDDLE))
        return
    for when in (MIDDLE, LAST):
        yield f"one GPU, a kernel traps {when}", case(1, 1, (TRAP, when))
    yield f"one GPU, a launch is refused {MIDDLE}", case(1, 1, (LAUNCH, MIDDLE))
    if _gpus(job) > 1:
        for when in (MIDDLE, LAST):
            yield f"two GPUs, a launch is refused on one {when}", case(2, 1, (LAUNCH, when))
        yield "two GPUs, launches are refused on one, then on the other", case(2, 2, (LAUNCH, MIDDLE), (LAUNCH, LAST))
        for when in (MIDDLE, LAST):
            yield f"two GPUs, a kernel traps on one {when}, which takes both", case(2, 2, (TRAP, when))


def _survive(job, gpus, lost, breaks):
    """`lost`: GPUs that are out of use at the end; `breaks`: what breaks, and when."""
    voxel_m = job.options.voxels[0]
    truth = _truth(job, voxel_m)
    at = {MIDDLE: max(1, truth["keyframes"] // 2), LAST: truth["keyframes"]}
    words = [*job.input(voxel_m), "--backend", job.backend, "--rate", RATE, "--drill",
             ",".join(f"{role}@{at[when]}" for role, when in breaks)]
    if gpus:
        words += ["--gpus", gpus]
    with served.serve(job.runner, job.tessera, *words) as service:
        service.wait_for_map(truth["keyframes"], truth["keyframes"] / RATE + job.limit_s("drills"))

        def noticed():  # a drill after the last keyframe comes a moment later, and is noticed by who asks next
            log = service.log()
            return (log.count("drill: ") >= len(breaks) and service.map() is not None
                    and len(TAKEN_OUT.findall(service.log())) >= lost)

        begin = time.monotonic()
        service.wait(noticed, "not every broken GPU is taken out" if gpus else "no device is killed", QUIET_S)
        now = service.wait_for_map(truth["keyframes"], QUIET_S)
        whole_s = time.monotonic() - begin
        require(now["hash"] == truth["hash"], f"the map's hash is {now['hash']}, and the CPU's {truth['hash']}")
        require(service.healthy(), "/healthz says that it is not well")
        counts = service.metrics()
        require(served.total(counts, "tessera_lost_actors_total") == 0, "an actor was lost that cannot be started again")
        refused = served.total(counts, "tessera_keyframes_refused_total") + served.total(counts,
            "tessera_keyframes_not_now_total")
        require(refused == 0, f"{refused:g} keyframes were refused")
        left = served.total(counts, "tessera_device_info")
        out = {"hash": now["hash"], "whole_again_s": round(whole_s, 2), "gpus_left": int(left)}
        if gpus:
            failed = served.total(counts, "tessera_device_failures_total")
            require(left == gpus - lost, f"{left:g} GPUs are in use, not {gpus - lost}")
            require(failed == lost, f"tessera_device_failures_total is {failed:g}, not {lost}")
            require(("takes over" in service.log()) == (left == 0),
                    "the CPU took over while a GPU was left" if left else "no device took over")
            out["error"] = TAKEN_OUT.search(service.log())[1].split(";")[0][-200:]
        out["end_s"] = round(service.end(), 2)
        require("were still busy" not in service.log(), "actors were still busy at its end")
        return out


# -- more map than memory --------------------------------------------------------------------


# The map must be much larger than what one keyframe touches, which a GPU needs at once: 25 rooms of the building, 280 MiB of
# blocks, of which a keyframe writes to 1. The real room is seen as a whole by many keyframes.
LARGE_MAP = ("synthetic:building", "--voxel-size", 0.05, "--limit", 400)
SMALL_REGIONS = ("--region-size", 32)
MOVING_S = 50  # it takes some seconds


def eviction(job):
    """Pools of half the map, a quarter and an eighth, and the service with an eighth: the same map, and what it costs."""
    if not job.gpu:
        return
    try:
        truth = _hash_on_cpu(job, LARGE_MAP)
    except served.Failed as e:
        reason = str(e)
        yield "the CPU's map", lambda: require(False, reason)
        return
    whole = -(-truth["blocks"] * BLOCK_BYTES // MIB)

    def with_pool(pool_mib):
        return lambda: _bench(job, truth, pool_mib)

    yield "room for all", with_pool(2 * whole + 64)
    for part in (2, 4, 8):
        yield f"a pool of 1/{part} of the map's blocks", with_pool(whole // part)
    yield "the service, a pool of 1/8", lambda: _serve_moving(job, truth, whole // 8)


def _memory_words(pool_mib):
    return ["--gpus", 1, *SMALL_REGIONS, "--memory-pool", f"{pool_mib}MiB", "--memory-cap", 0, "--host-memory", "16GiB"]


def _bench(job, truth, pool_mib):
    command = [job.tessera, "bench", *LARGE_MAP, "--backend", job.backend, "--threads", 1, *_memory_words(pool_mib), "--json"]
    ended = job.runner.run(command, MOVING_S)
    require(not ended.reason, ended.complaint())
    report = json.loads(ended.out.strip().splitlines()[-1])
    stages = report["stages"]["total"]
    require(report["map_hash"] == truth["hash"], f"the map's hash is {report['map_hash']}, and the CPU's {truth['hash']}")
    return {"pool_mib": pool_mib, "hash": report["map_hash"], "median_ms": stages["median_ms"], "p99_ms": stages["p99_ms"],
            **{f"moves_{way}": report["devices"][0][f"moves_{way}"] for way in ("out", "in")}}


def _serve_moving(job, truth, pool_mib):
    with served.serve(job.runner, job.tessera, *LARGE_MAP, "--backend", job.backend, "--rate", 0,
                      *_memory_words(pool_mib)) as service:
        def all_taken():
            counts = service.metrics()
            not_taken = served.total(counts, "tessera_keyframes_refused_total") + served.total(counts,
                "tessera_keyframes_not_now_total")
            require(not_taken == 0, f"{not_taken:g} keyframes were not taken: {service.fetch('/readyz')[1].strip()[-300:]}")
            return served.total(counts, "tessera_live_keyframes") == truth["keyframes"]

        service.wait(all_taken, f"there are not {truth['keyframes']} live keyframes", MOVING_S)
        now = service.wait_for_map(truth["keyframes"], QUIET_S)
        require(now["hash"] == truth["hash"], f"the map's hash is {now['hash']}, and the CPU's {truth['hash']}")
        counts = service.metrics()
        out = {"pool_mib": pool_mib, "hash": now["hash"],
               "regions_on_host": int(served.total(counts, "tessera_device_regions", place="host")),
               "host_mib": round(served.total(counts, "tessera_device_host_bytes") / MIB, 1)}
        for way in ("out", "in"):
            out[f"moves_{way}"] = int(served.total(counts, "tessera_device_region_moves_total", direction=way))
        require(out["moves_out"] > 0, "no region moved out, as /metrics counts it")  # nobody comes back to a room
        service.end()
        return out


# -- less memory than map ------------------------------------------------------------------


WALLS, WALL_M, WALL_STEP_M, WALL_VOXEL_M, WALL_MEMORY = 20, 8.0, 0.05, 0.05, "64MiB"


def wall(number):
    """A keyframe: a wall before a camera that stands where none of the others sees."""
    side, at = round(WALL_M / WALL_STEP_M), 12.0 * number
    points, colours = array.array("f"), bytearray()
    for v in range(side):
        for u in range(side):
            points.extend((at + (u - side / 2) * WALL_STEP_M, (v - side / 2) * WALL_STEP_M,
                           4.0 + 0.3 * ((u // 16 + v // 16) % 2)))
            colours.extend((u & 255, v & 255, 40 + number))
    pose = (1, 0, 0, at, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    header = struct.pack("<QIII16f6f", 1 + number, side * side, 3, 0, *pose, *(0.0,) * 6)
    return header + points.tobytes() + bytes(colours)


def refusal(job):
    """Keyframes that there is no memory for."""
    how = "no host memory" if job.gpu else "a memory cap"
    yield f"{WALLS} walls, {WALL_MEMORY}, {how}", lambda: _refuse(job)


def _refuse(job):
    words = [*NOTHING, "--voxel-size", WALL_VOXEL_M, "--backend", job.backend]
    if job.gpu:
        words += ["--gpus", 1, "--memory-pool", WALL_MEMORY, "--host-memory", 0]
    else:
        words += ["--memory-cap", WALL_MEMORY]
    walls = {f"wall {number}": wall(number) for number in range(WALLS)}
    with served.serve(job.runner, job.tessera, *words) as service:
        accepted, reasons = [], []
        for name, body in walls.items():
            status, answer = service.post(name, body)
            if status == 200:
                accepted.append(name)
            else:
                reasons.append(f"{status} {answer.get('reason') or answer.get('error')}")
        require(accepted, f"none was accepted: {reasons[:1]}")
        require(reasons, "none was refused")
        require(all(FULL.search(reason) for reason in reasons), f"a refusal does not say that memory is wanting: {reasons[0]}")
        counted = served.total(service.metrics(), "tessera_keyframes_not_now_total", reason="room")
        require(counted == len(reasons), f"{len(reasons)} were refused, and /metrics counts {counted:g}")
        require(service.healthy(), "/healthz says that it is not well")
        now = service.wait_for_map(len(accepted), QUIET_S)
        wanted = _map_of(job, [walls[name] for name in accepted])
        require(now["hash"] == wanted, f"the map's hash is {now['hash']}, and that of the accepted ones on the CPU {wanted}")
        for name in accepted:
            status = service.retract(name)
            require(status == 200, f"retracting {name} is answered {status}")
        empty = service.wait_for_map(0, QUIET_S)
        require(empty["hash"] == EMPTY_MAP, f"all was retracted, and the map's hash is {empty['hash']}")
        last = list(walls)[-1]
        out = {"accepted": len(accepted), "refused": len(reasons), "hash": wanted, "reason_given": reasons[0],
               "room_after_retracting": service.post(last, walls[last])[0] == 200}
        service.end()
        return out


def _map_of(job, bodies):
    """The hash of these keyframes on the CPU."""
    with served.serve(job.runner, job.tessera, *NOTHING, "--voxel-size", WALL_VOXEL_M, "--backend", "cpu") as service:
        for number, body in enumerate(bodies):
            status, answer = service.post(str(number), body)
            require(status == 200, f"the CPU refuses a wall: {answer}")
        found = service.wait_for_map(len(bodies), QUIET_S)["hash"]
        service.end()
        return found


# -- the cap on all of a GPU's memory -----------------------------------------------------------


CAPS_MIB = (1024, 4096)
REST_POOL_MIB = 64


def memory_cap(job):
    """What nvidia-smi says that the service takes, against its cap and what a context takes by itself."""
    if not job.gpu:
        return
    voxel_m = min(job.options.voxels)
    own = {}

    def context():
        before = _used_mib(job)
        with served.serve(job.runner, job.tessera, *NOTHING, "--voxel-size", voxel_m, "--backend", job.backend, "--gpus", 1,
                          "--memory-pool", f"{REST_POOL_MIB}MiB", "--memory-cap", 0) as service:
            own["mib"] = _used_mib(job) - before - REST_POOL_MIB
            service.end()
        return {"context_mib": own["mib"], "note": f"a service at rest, less its pool of {REST_POOL_MIB} MiB"}

    def capped(cap_mib):
        def do():
            require("mib" in own, "what the context takes is not known")
            truth = _truth(job, voxel_m)
            before = _used_mib(job)
            with served.serve(job.runner, job.tessera, *job.input(voxel_m), "--backend", job.backend, "--gpus", 1, "--rate", 0,
                              "--memory-pool", f"{cap_mib // 2}MiB", "--memory-cap", f"{cap_mib}MiB", "--host-memory",
                              "16GiB") as service:
                peak = 0

                def done():
                    nonlocal peak
                    peak = max(peak, _used_mib(job) - before)
                    counts = service.metrics()
                    return (served.total(counts, "tessera_live_keyframes")
                            + served.total(counts, "tessera_keyframes_not_now_total")
                            >= truth["keyframes"])

                service.wait(done, "not all keyframes are answered", job.limit_s("drills"))
                peak = max(peak, _used_mib(job) - before)  # buffers grow and never shrink
                refused = int(served.total(service.metrics(), "tessera_keyframes_not_now_total"))
                now = service.map()
                service.end()
            require(refused > 0 or (now and now["hash"] == truth["hash"]),
                    f"nothing was refused, and the map is {now and now['hash']}")
            out = {"cap_mib": cap_mib, "peak_mib": peak, "context_mib": own["mib"], "refused": refused}
            require(peak <= cap_mib + own["mib"],
                    f"{peak} MiB are used, more than the cap of {cap_mib} and the context's {own['mib']}")
            return out

        return do

    yield "what the context takes by itself", context
    for cap_mib in CAPS_MIB:
        yield f"a cap of {cap_mib} MiB", capped(cap_mib)


def _used_mib(job):
    """Memory in use on the first GPU, by whomever."""
    ended = job.runner.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"], 30)
    with contextlib.suppress(ValueError):
        if not ended.reason:
            return int(ended.out.split()[0])
    raise served.Failed(f"nvidia-smi does not say how much memory is used: {ended.complaint()}")


# -- what all of them need ---------------------------------------------------------------------


def _gpus(job):
    return job.parts.get("machine", {}).get("gpus_used", 1)


def _truth(job, voxel_m):
    """Hash and counts of the source's map on the CPU."""
    known = job.parts.get("hash", {}).get("voxels", [])
    found = next((f"{row['cpu']} {row['cpu_counts']}" for row in known if row["voxel_m"] == voxel_m and "cpu" in row), None)
    return _counted(found) if found else _hash_on_cpu(job, job.input(voxel_m))


def _hash_on_cpu(job, source):
    """Likewise, of a source and its settings as the commands of tessera take them."""
    ended = job.runner.run([job.tessera, "hash", *source, "--backend", "cpu"], job.limit_s("drills"))
    require(not ended.reason and ended.out.strip(), ended.complaint())
    return _counted(ended.out)


def _counted(printed):
    digits, *counts = printed.split()
    return {"hash": digits, **{name: int(value) for name, _, value in (count.partition("=") for count in counts)}}
