"""How long each kernel takes, by Nsight Compute (ncu), whose text is read here."""

import re
import statistics

from . import tools

LAUNCH = re.compile(r"  (\S.*) \((\d+), (\d+), (\d+)\)x\((\d+), (\d+), (\d+)\), Context \d+, Stream \d+")
DURATION = re.compile(r"\s+gpu__time_duration\.sum\s+(\S+)\s+([\d.,]+)\s*$")
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1.0, "usecond": 1.0, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}


def measure(job, data, failures):
    """Sets data["left_out"] where there is no ncu."""
    tool = tools.find("ncu")
    if not tool:
        data["left_out"] = "ncu is not here"
        return
    rows = data["voxels"] = []
    options = job.options
    for voxel_m in options.voxels:
        command = [tool, "--cache-control", "none", "--clock-control", "none", "--metrics", "gpu__time_duration.sum",
                   "--launch-skip",
                   options.ncu_skip, "--launch-count", options.ncu_count, job.tessera, "bench", *job.input(voxel_m), "--backend",
                   job.backend, "--threads", 1]
        ended = job.runner.run(command, job.limit_s("ncu"))
        found = by_kernel(read(ended.out))
        if found:
            rows.append({"voxel_m": voxel_m, "kernels": found})
        if ended.reason:
            failures.append(ended.complaint())
        elif not found:
            failures.append(f"{ended.command}: no kernel was profiled; are there more than {options.ncu_skip} launches?")


def read(text):
    """(kernel, microseconds) of each launch in ncu's text. ValueError for a unit that is not known."""
    launches, kernel = [], None
    for line in text.splitlines():
        launch = LAUNCH.match(line)
        if launch:
            kernel = short_name(launch[1])
            continue
        duration = DURATION.match(line)
        if duration and kernel:
            if duration[1] not in MICROSECONDS:
                raise ValueError(f"ncu gives a time in {duration[1]!r}, not in one of {', '.join(MICROSECONDS)}")
            launches.append((kernel, float(duration[2].replace(",", "")) * MICROSECONDS[duration[1]]))
            kernel = None
    return launches


def short_name(signature):
    """What a kernel is called among us: for our own, which run a function object, that object's name; for others the
    function's."""
    text = re.sub(r"\(anonymous namespace\)::|<unnamed>::", "", signature).removeprefix("void ")
    head = re.match(r"[\w:~]+", text)
    if not head:
        return signature[:60]
    arguments = _template_arguments(text[head.end():])
    if head[0].startswith("tessera::") and arguments:
        argument = next((one for one in arguments if "::" in one), arguments[0])
        return re.match(r"[&\s]*([\w:]*)", argument)[1].rpartition("::")[2] or argument
    return head[0].rpartition("::")[2]


def _template_arguments(text):
    """Of "<a, b<c>>(...": "a", "b<c>"."""
    if not text.startswith("<"):
        return []
    depth, begin, out = 0, 1, []
    for at, letter in enumerate(text):
        depth += letter in "<(["
        if letter == "," and depth == 1:
            out.append(text[begin:at].strip())
            begin = at + 1
        depth -= letter in ">)]"
        if depth == 0:
            out.append(text[begin:at].strip())
            break
    return out


def by_kernel(launches):
    """In the order of their first launch."""
    times = {}
    for kernel, us in launches:
        times.setdefault(kernel, []).append(us)
    whole = sum(us for _, us in launches)
    return [{"kernel": kernel, "launches": len(all_us), "median_us": statistics.median(all_us), "max_us": max(all_us),
             "share": sum(all_us) / whole if whole else 0.0} for kernel, all_us in times.items()]
