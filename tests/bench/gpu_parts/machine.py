"""What was measured on."""

import os
import platform
import re
import shutil

FIELDS = ("name", "driver_version", "memory.total", "pcie.link.gen.max", "pcie.link.width.max", "pcie.link.gen.current",
          "pcie.link.width.current", "clocks.max.sm", "power.limit")
GPU_USED = re.compile(r"backend cuda, (.*)")


def measure(job, data, failures):
    data.update(cpu=_first("/proc/cpuinfo", r"model name\s*:\s*(.*)"), cores=len(os.sched_getaffinity(0)),
                system=platform.platform(), memory_gib=round(int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20, 1))
    version = job.runner.run([job.tessera, "--version"], job.limit_s("machine"))
    data["version"] = version.out.strip()
    if version.reason:
        failures.append(version.complaint())
    if not job.gpu:
        return
    if shutil.which("nvidia-smi"):
        smi = job.runner.run(["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader"], job.limit_s("machine"))
        if smi.reason:
            failures.append(smi.complaint())
        rows = [dict(zip(FIELDS, (cell.strip() for cell in line.split(",")))) for line in smi.out.splitlines() if "," in line]
        data["gpus"] = rows
    else:
        failures.append("nvidia-smi is not here: name and driver of the GPU are not known")
    # What does the program itself see? Tests on a GPU that is not there pass, too.
    probe = job.runner.run([job.tessera, "hash", "synthetic:room", "--limit", 1, "--backend", "cuda"], job.limit_s("machine"))
    seen = GPU_USED.search(probe.err)
    data["gpu_used"] = seen[1] if seen and not probe.reason else None
    data["gpus_used"] = 0 if probe.reason else len(GPU_USED.findall(probe.err))
    if probe.reason:
        failures.append(probe.complaint())


def _first(path, pattern):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(pattern, file.read())
    except OSError:
        return None
    return found[1].strip() if found else None
