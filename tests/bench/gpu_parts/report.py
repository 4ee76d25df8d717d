"""The report as Markdown: tables that can go into docs/benchmarks.md as they are."""

import collections

from growth import in_words

from . import goals


def heading(report):
    """Which device, driver and day."""
    machine = report["parts"].get("machine", {})
    gpus = machine.get("gpus") or []
    if report["backend"] == "cpu" or not gpus:
        name = f"{machine.get('cpu') or 'unknown processor'}, {machine.get('cores', '?')} cores"
        if report["backend"] != "cpu":
            name = f"{machine.get('gpu_used') or 'unknown GPU'} ({name})"
    else:
        name = f"{gpus[0].get('name')}, driver {gpus[0].get('driver_version')}"
        if len(gpus) > 1:
            name = f"{len(gpus)} x {name}"
    return f"{name}, {report['date'][:10]}"


def markdown(report):
    parts = report["parts"]
    blocks = [f"## {heading(report)}", _machine(report)]
    for name, make in (("bench", _stages), ("hash", _hashes), ("tests", _tests), ("sanitizers", _sanitizers), ("upload", _upload),
                       ("latency", _latency), ("spread", _spread), ("throughput", _throughput), ("drills", _drills),
                       ("growth", _growth), ("ncu", _kernels)):
        if parts.get(name):
            blocks += make(parts[name])
    missing = [f"- {name}: left out, {part['left_out']}" for name, part in parts.items() if "left_out" in part]
    for name, part in parts.items():
        for failure, times in collections.Counter(part.get("failures", [])).items():
            missing.append(f"- {name}: {failure}" + (f" ({times} times)" if times > 1 else ""))
    if missing:
        blocks += ["### Failed or left out", "\n".join(missing)]
    return "\n\n".join(blocks) + "\n"


def _machine(report):
    machine = report["parts"].get("machine", {})
    words = [f"`{report['source']}`" + (f", {report['limit']} keyframes" if report["limit"] else ""),
             machine.get("version") or ""]
    for gpu in machine.get("gpus") or []:
        link = [gpu.get(f"pcie.link.{what}.max") for what in ("gen", "width")]
        words.append(f"{gpu.get('name')}, {gpu.get('memory.total')}, PCIe {link[0]} x {link[1]}")
    words.append(f"{machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('memory_gib')} GiB")
    return "; ".join(word for word in words if word) + "."


def _table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _cm(row):
    return f"{row['voxel_m'] * 100:g} cm"


def _ms(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _stages(part):
    rows = part.get("voxels")
    if not rows:
        return []
    names = list(rows[0]["stages"])
    gpu = any("goals" in row for row in rows)
    titles = ["voxel", *names, "p99 of total", "total in all rounds"]
    titles += ["device, goal", "total, goal", "p99 / median, goal"] if gpu else []
    table = []
    for row in rows:
        stages = row["stages"]
        cells = [_cm(row), *(_ms(stages[name]["median_ms"]) for name in names), _ms(stages["total"]["p99_ms"]),
                 f"{_ms(min(row['rounds_total_ms']))} to {_ms(max(row['rounds_total_ms']))}"]
        if gpu:
            found = row.get("goals", {})
            cells += [goals.in_words(found[name]) if name in found else "" for name in ("device", "total", "p99")]
        table.append(cells)
    rounds = max(len(row["rounds_total_ms"]) for row in rows)
    about = (f"{rows[0]['keyframes']} keyframes of {rows[0]['points']:,.0f} points, ms per keyframe, medians; rounds: {rounds}, "
             f"shown: the one "
             "whose total is in the middle:")
    out = ["### Stages", about, _table(titles, table)]
    out.append(_table(*_work(rows, gpu)))
    return out


def _work(rows, gpu):
    titles = ["voxel", "rays", "triangles", "field"] + (["kernels", "copies", "up", "down", "upload", "done again"] if gpu
                                                        else [])
    titles += ["keyframes/s", "one at a time"] + (["goal", "map is the CPU's"] if gpu else [])
    table = []
    for row in rows:
        cells = [_cm(row), f"{row['rays']:,.0f}", f"{row['triangles']:,}", f"{row['field_bytes'] / 1e6:.1f} MB"]
        if gpu:
            device = row["device"] or {}
            cells += [f"{device['kernels']:g}", f"{device['copies']:g}", f"{device['bytes_up'] / 1e6:.2f} MB",
                      f"{device['bytes_down'] / 1e6:.3f} MB", f"{device['upload_gb_per_s']:.1f} GB/s",
                      device["done_again"]] if device else [""] * 6
        through = row["throughput"] or {}
        cells += [f"{through['keyframes_per_s']:,.0f}", f"{through['one_thread_keyframes_per_s']:,.0f}"] if through else ["", ""]
        if gpu:
            found = row.get("goals", {})
            cells += [goals.in_words(found["keyframes_per_s"]) if "keyframes_per_s" in found else "",
                      _yes(row.get("map_is_the_cpus"))]
        table.append(cells)
    return titles, table


def _yes(value):
    return {True: "yes", False: "**no**", None: "not compared"}[value]


def _hashes(part):
    rows = [[_cm(row), f"`{row.get('cpu', '?')}`", f"`{row.get('cuda', '?')}`", _yes(row.get("equal"))]
            for row in part.get("voxels", [])]
    return ["### Hashes", _table(["voxel", "CPU", "GPU", "equal"], rows)] if rows else []


def _tests(part):
    rows = [[number, run.get("cases", ""), run.get("assertions", ""), f"{run['seconds']:g} s",
             "failed" if run["reason"] else "passed"]
            for number, run in enumerate(part.get("runs", []), 1)]
    return ["### `test_gpu_cuda` on the GPU alone", _table(["run", "cases", "assertions", "time", ""], rows)] if rows else []


def _sanitizers(part):
    """A line a tool; which cases are not clean stands among what failed."""
    rows = []
    for name, run in part.get("tools", {}).items():
        states = collections.Counter(result["state"] for result in run["cases"])
        slowest = max((result["seconds"] for result in run["cases"]), default=0)
        rows.append([name, len(run["cases"]), *(states[state] for state in ("clean", "found", "not done", "failed")),
                     f"{slowest:g} s", f"{run['seconds']:g} s"])
    if not rows:
        return []
    out = ["### Each test case under `compute-sanitizer`", f"Each is a process of its own, {part['at_once']} at once.",
           _table(["tool", "cases", "clean", "found something", "not done", "failed", "slowest", "all in a row"], rows)]
    racecheck = part["tools"].get("racecheck", {}).get("cases", [])
    without = [result["case"] for result in racecheck if not result["all_kernels"] and result["state"] == "clean"]
    if without:
        out.append(f"racecheck saw all kernels in {sum(result['all_kernels'] for result in racecheck)} cases, and in "
                   f"{len(without)} only those "
                   f"that are not ours (ours have no shared memory): {'; '.join(without)}.")
    return out


def _upload(part):
    """Times as "median (99 %)"; both runs side by side."""
    runs = part.get("runs", [])
    if not runs:
        return []
    first = runs[0]
    kinds = ["mapped with its pages" if run["populated"] else "without" for run in runs]
    about = (f"{first['segments']} segments of {first['points']:,} points ({first['bytes'] / 1e6:.2f} MB) for each way, us, "
             f"median (99 %). "
             "Mapping: " + "; ".join(f"{_us(run['mapping'])} {kind}" for run, kind in zip(runs, kinds) if "mapping" in run) + ".")
    titles = ["way"] + [f"{what}, {kind}" for kind in kinds for what in ("host busy", "on the device", "GB/s")] + ["steps"]
    named = [{way["name"]: way for way in run["ways"]} for run in runs]
    rows = []
    for way in first["ways"]:
        cells = [way["name"]]
        for ways in named:
            cells += _times(ways.get(way["name"], {}))
        steps = way.get("steps", {})
        rows.append(cells + [", ".join(f"{name} {_us(steps[name])}" for name in ("register", "copy", "unregister")
                                       if name in steps)])
    return ["### Ways to bring a keyframe to the GPU", about, _table(titles, rows)]


def _times(way):
    if "ready" not in way:
        return [way.get("failed", "not measured"), "", ""]
    return [_us(way["host"]), _us(way["ready"]), f"{way['gb_per_s']:.1f}"]


def _us(spread):
    return f"{spread['median_us']:.0f} ({spread['p99_us']:.0f})"


def _latency(part):
    table = []
    stages = dict.fromkeys(name for case in part.get("cases", []) for name in case["report"]["stages"])
    for case in part.get("cases", []):
        report, found = case["report"], case.get("goals", {})
        times = (goals.in_words(found[name]) if name in found else f"{report[f'latency_{name}_ms']:.2f}"
                 for name in ("p50", "p99"))
        ages = (f"{report[f'patch_age_{name}_ms']:.2f}" for name in ("p50", "p99"))
        table.append([case["name"], f"{report['rate_hz']:g}/s", *times, *ages, "yes" if report["kept_up"] else "**no**",
                      f"{report['cpu_cores']:.2f}"])
    if not table:
        return []
    out = ["### Latency: from publishing a keyframe to its patch at a viewer, ms",
           _table(["keyframes", "rate", "p50", "p99", "every patch p50", "every patch p99", "keeps up", "cores used"], table),
           "p50 and p99: to the first patch that shows the keyframe, or a newer one. Every patch: from publishing the newest "
           "keyframe that a "
           "patch shows to its arrival, so that the last region of a keyframe counts like the first."]
    rows = [[case["name"], *(_stage(case["report"]["stages"].get(name)) for name in stages)] for case in part["cases"]]
    titles = [name.removeprefix("tessera_").removeprefix("stage_duration.").replace("_", " ") for name in stages]
    return out + ["The service's own stages, p50 / p99 in ms:", _table(["keyframes", *titles], rows)]


def _stage(stage):
    return f"{stage['p50_ms']:.2f} / {stage['p99_ms']:.2f}" if stage else ""


def _spread(part):
    found = part.get("voxels")
    if not found:
        return []
    ways = list(found[0]["keyframes_per_s"])
    rows = [[_cm(row), *(f"{row['keyframes_per_s'][way]:,.0f}" for way in ways), goals.in_words(row["ratio"]),
             " + ".join(f"{blocks:,}" for blocks in row["blocks"]), " + ".join(map(str, row["regions"])),
             _yes(row.get("map_is_the_cpus"))]
            for row in found]
    about = ("Two GPUs that share the map, against the better one alone:" if part["two"] else
             "One GPU doing the work of each of two that share the map, against the whole of it; two could be as fast as the "
             "slower one, "
             "if the host feeds both:")
    return ["### Two GPUs: keyframes/s, many under way", about,
            _table(["voxel", *ways, "two over one", "blocks", "regions", "map is the CPU's"], rows)]


def _throughput(part):
    rows = [[_cm(row), "written before" if row["prewritten"] else "written meanwhile", row["way"],
             f"{row['accepted_per_s']:,.0f}",
             ", ".join(f"{per_s:,.0f}" for per_s in row["rounds"]), f"{row['over_better']:.2f}" if "over_better" in row else "",
             f"{row['kernels_each']:.1f}", f"{row['copies_each']:.1f}", f"{row['cpu_cores']:.1f}"]
            for row in part.get("cases", [])]
    if not rows:
        return []
    about = f"Keyframes of {part['cases'][0]['points']:,.0f} points, eight producers, medians. {part.get('note', '')}".strip()
    return ["### Keyframes/s of the whole service", about,
            _table(["voxel", "segments", "on", "accepted/s", "rounds", "over the better one", "kernels each", "copies each",
                    "cores used"],
                   rows)]


DRILL_FIGURES = {"note": "{}", "whole_again_s": "whole again after {:g} s", "gpus_left": "GPUs left: {}", "error": "`{}`",
                 "pool_mib": "pool {} MiB", "median_ms": "median {:.3f} ms", "p99_ms": "99 % {:.3f} ms",
                 "moves_out": "moved out {}", "moves_in": "back {}",
                 "regions_on_host": "regions on the host at the end: {}", "host_mib": "{:g} MiB there", "accepted": "accepted {}",
                 "cap_mib": "cap {} MiB", "peak_mib": "peak {} MiB", "context_mib": "context {} MiB", "refused": "refused {}",
                 "reason_given": "\"{}\"", "room_after_retracting": "room again after retracting all: {}",
                 "end_s": "ended in {:g} s"}


def _drills(part):
    rows = []
    for one in part.get("checks", []):
        figures = [words.format(one[name]) for name, words in DRILL_FIGURES.items() if name in one]
        rows.append([one["check"], one["what"], "**failed**" if one["reason"] else "passed", ", ".join(figures).replace("|", "/"),
                     f"{one['seconds']:g} s"])
    return ["### Drills: the map's hash is the CPU's after each",
            _table(["", "what", "", "figures", "time"], rows)] if rows else []


def _growth(part):
    out = []
    for row in part.get("voxels", []):
        table = [[f"{one['first']} to {one['first'] + one['keyframes'] - 1}", *(_ms(one[f"{name}_ms"]) for name in
                 ("rays", "integrate", "extract", "total")), _ms(one["total_p99_ms"])] for one in row["bins"]]
        size, ratio = row["bin_keyframes"], row["last_over_first"]
        compared = f"Last full {size:,} over the first: {ratio:.3f}" if ratio else f"Too few to compare {size:,} with {size:,}"
        out += [f"### Growth, {_cm(row)}", f"{in_words(row['keyframes'], row['asked'], row['ended_early'])}. {compared}; "
                f"field {row['field_bytes'] / 1e6:,.0f} MB, {row['triangles']:,} triangles. Medians in ms:",
                _table(["keyframes", "rays", "integrate", "extract", "total", "p99"], table)]
    return out


def _kernels(part):
    """One line a kernel, two columns a voxel size."""
    sizes = part.get("voxels", [])
    names = dict.fromkeys(one["kernel"] for size in sizes for one in size["kernels"])
    found = [{one["kernel"]: one for one in size["kernels"]} for size in sizes]
    rows = [[f"`{name}`", *(f"{size[name]['median_us']:.1f} ({size[name]['launches']}; {100 * size[name]['share']:.0f} %)"
                            if name in size
                            else "" for size in found)] for name in names]
    rows.append(["once each", *(f"{sum(one['median_us'] for one in size.values()):.1f}" for size in found)])
    return ["### Kernels, us: median (launches seen; share of their time)",
            _table(["kernel", *map(_cm, sizes)], rows)] if sizes else []
