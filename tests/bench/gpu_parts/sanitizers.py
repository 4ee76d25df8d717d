"""Does the GPU touch only what is its own? Every test case under every tool of compute-sanitizer, each a process of its own,
several at once.

racecheck is about shared memory alone. Kernels of ours have none (docs/gpu.md), and what it costs them is most of its time. So it
looks at each case twice: without them, which is soon done, and at all kernels; where that does not end in time, the first counts,
and the report says so.
"""

import concurrent.futures
import contextlib
import functools
import queue
import re
import time

from . import checks, tools

# initcheck takes the tests' poison for a value that was written.
TOOLS = {"memcheck": {}, "racecheck": {}, "initcheck": {"TESSERA_TEST_NO_POISON": "1"}, "synccheck": {}}
RACECHECK = {"both": (False, True), "others": (False,), "all": (True,)}  # of our kernels, too?
OUR_KERNELS = "kns=7tessera"  # part of their mangled names
ON_A_GPU = "~[emulated]"  # these cases never see one
IN_BATCHES = {"TESSERA_TEST_BATCHES": "1"}  # fewer launches, each of which a tool makes slow
FOUND = 9  # exit status when something was found and the tests passed
SHOWN = 10  # of what was found, in full
FIRST_PORT, PORTS_EACH = 49152, 10  # a tool and its program find each other through one of these
SUMMARY = re.compile(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")
TOLD = re.compile(r"^========= +(?!COMPUTE-SANITIZER|ERROR SUMMARY|RACECHECK SUMMARY)(\S.*)$", re.MULTILINE)
TOLD_LINES = 4
LOOK_S = 0.5  # a signal that comes as a wait without an end begins would be seen when that ends
NAMES_ONLY = (["--list-test-names-only"], ["--list-tests", "--verbosity", "quiet"])  # of Catch2, version 2 and 3
NO_GPU = "Target application terminated before first instrumented API call"


def measure(job, data, failures):
    """Sets data["left_out"] where there is no compute-sanitizer."""
    tool = tools.find("compute-sanitizer")
    if not tool:
        data["left_out"] = "compute-sanitizer is not here"
        return
    cases = list_cases(job, failures)
    options = job.options
    data["at_once"] = options.jobs
    # What is not done when the time is over is racecheck of all kernels, which can be done without.
    wanted = [(name, True, case) for name in options.sanitizers if name != "racecheck" for case in cases]
    if "racecheck" in options.sanitizers:
        wanted += [("racecheck", all_kernels, case) for all_kernels in RACECHECK[options.racecheck] for case in cases]
    found = {}
    try:
        _run_all(job, tool, wanted, found)
    finally:
        rows = data["tools"] = {name: _row(name, cases, found) for name in options.sanitizers if cases}
        for name, row in rows.items():
            failures += _failures(name, row["cases"])


def list_cases(job, failures):
    """Names of the cases that use a GPU, or of those asked for."""
    for way in NAMES_ONLY:
        ended = job.runner.run([job.program("test_gpu_cuda"), *(job.options.cases or [ON_A_GPU]), *way],
                               job.limit_s("sanitizers"))
        names = [line.strip() for line in ended.out.splitlines() if line.strip()]
        if names and ended.status is not None and not ended.err.strip():  # the status is their number in version 2
            return names
    failures.append(f"{ended.command}: it names no test cases; {ended.reason}")
    return []


def literally(name):
    """A case's name as Catch2 must be told it, so that nothing in it has a meaning."""
    return re.sub(r'[\\,\[\]"]', r"\\\g<0>", name)


def _run_all(job, tool, wanted, found):
    """Puts a result into `found` for each of `wanted`, as soon as it is there."""
    end = time.monotonic() + job.options.sanitizer_seconds
    slots = queue.SimpleQueue()
    for slot in range(job.options.jobs):
        slots.put(slot)
    pool = concurrent.futures.ThreadPoolExecutor(job.options.jobs)
    try:
        waiting, done = {pool.submit(_run_one, job, tool, one, end, slots): one for one in wanted}, queue.SimpleQueue()
        for one in waiting:
            one.add_done_callback(done.put)
        while waiting:
            with contextlib.suppress(queue.Empty):
                one = done.get(timeout=LOOK_S)
                found[waiting.pop(one)] = one.result()
    except BaseException:  # interrupted: nothing may go on behind our back
        pool.shutdown(wait=False, cancel_futures=True)
        job.runner.end_all()
        raise
    finally:
        pool.shutdown()


def _run_one(job, tool, wanted, end, slots):
    name, all_kernels, case = wanted
    slot = slots.get()
    try:
        command = [tool, "--tool", name, "--error-exitcode", FOUND, "--print-limit", SHOWN, "--port",
                   FIRST_PORT + PORTS_EACH * slot]
        if name == "racecheck":
            command += ["--racecheck-num-workers", 2]
            command += [] if all_kernels else ["--kernel-name-exclude", OUR_KERNELS]
        env = {**checks.ON_THE_GPU, **TOOLS[name], **(IN_BATCHES if job.options.batches else {})}
        ended = job.runner.run([*command, job.program("test_gpu_cuda"), literally(case)],
                               min(job.limit_s("sanitizers"), end - time.monotonic()), env)
    finally:
        slots.put(slot)
    return {"case": case, "all_kernels": all_kernels, "seconds": round(ended.seconds, 1), **_judge(job, ended)}


def _judge(job, ended):
    counts = [int(one or other) for one, other in SUMMARY.findall(ended.out + ended.err)]
    said = TOLD.findall(ended.out + ended.err)[:TOLD_LINES]
    if ended.late:
        return {"state": "not done", "reason": ended.reason}
    if counts and max(counts) > 0:
        return {"state": "found", "found": max(counts), "reason": " / ".join(said)}
    if NO_GPU in ended.out + ended.err:
        return {"state": "failed", "reason": f"{ended.command}: it used no GPU; cases that never do are tagged [emulated]"}
    reason = checks.why_not(job, ended) or ("" if counts else f"{ended.command}: it gave no summary")
    return {"state": "failed", "reason": reason} if reason else {"state": "clean", "reason": ""}


def _row(name, cases, found):
    """Each case's result: that of all kernels if it says anything."""
    results = []
    for case in cases:
        both = [found[one] for one in ((name, True, case), (name, False, case)) if one in found]
        said = [result for result in both if result["state"] != "not done"] or both
        results += [functools.reduce(_worse, said)] if said else []
    return {"cases": results, "seconds": round(sum(result["seconds"] for one, result in found.items() if one[0] == name), 1)}


def _worse(one, other):
    """Of two results of a case the one to tell; `one` if they are as good."""
    rank = ("clean", "not done", "failed", "found")
    return one if rank.index(one["state"]) >= rank.index(other["state"]) else other


def _failures(name, results):
    out = [f"{name}: {result['found']} found in \"{result['case']}\": {result['reason']}" for result in results
           if result["state"] == "found"]
    out += [f"{name}: {result['reason']}" for result in results if result["state"] == "failed"]
    late = [result["case"] for result in results if result["state"] == "not done"]
    if late:
        out.append(f"{name}: {len(late)} of {len(results)} cases did not end in time: {'; '.join(late)}")
    return out
