#!/usr/bin/env python3
"""Does a keyframe cost more in a large map than in a small one? Runs `tessera bench` over a source that always comes to new
places, bins the times by the keyframe's number, and prints for each bin and stage the median, and the 99th percentile of the
whole. With --seconds it takes as many keyframes as come in that time, and tells how many they were.

Needs Python alone, so that it also runs from a bundle, where it finds the program beside itself.

  growth.py --binary build/release/tessera --limit 2000
  growth.py --limit 10000 --seconds 300
  growth.py --voxel-size 0.05 0.02 --backend cuda --figure docs/figures/growth.svg --label "H100"
  growth.py --read cpu.csv gpu.csv --label CPU H100 --figure growth.svg      from files that `tessera bench --times` wrote
"""

import argparse
import csv
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
STAGES = ("rays_ms", "integrate_ms", "extract_ms", "total_ms")


def program():
    """TESSERA_BIN, or the program beside this script, as a bundle has it."""
    beside = HERE / "tessera"
    return os.environ.get("TESSERA_BIN") or (str(beside) if beside.is_file() else None)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * (len(ordered) - 1) + 0.5))]


def memory_cap(options, voxel_m):
    """What is asked for; else what that many keyframes of synthetic:building need, and a tenth more, but 4 GiB at least."""
    needed = options.limit * 960_000 * (0.05 / voxel_m) ** 2
    return options.memory_cap or f"{max(4, math.ceil(needed * 1.1 / 2**30))}GiB"


def run(options, voxel_m, folder):
    """Measures; returns the rows of the CSV file, what bench reports, and whether the time was over before all keyframes had
    come."""
    file = pathlib.Path(folder) / f"times-{voxel_m}.csv"
    command = [options.binary, "bench", options.source, "--limit", options.limit, "--voxel-size", voxel_m, "--threads", 1,
               "--backend", options.backend, "--memory-cap", memory_cap(options, voxel_m), "--times", file, "--json",
               *(["--seconds", options.seconds] if options.seconds else []), *options.more]
    begin = time.monotonic()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"growth: {' '.join(map(str, command))} ended with {done.returncode}")
    report = json.loads(done.stdout.strip().splitlines()[-1])
    late = options.seconds is not None and time.monotonic() - begin >= options.seconds
    return read(file), report, late and report["keyframes"] < options.limit


def read(file):
    with open(file, newline="", encoding="ascii") as lines:
        return [{name: float(row[name]) for name in STAGES} for row in csv.DictReader(lines)]


def bins(rows, size):
    """(first keyframe, keyframes, median of each stage, 99th percentile of the whole) of each bin; a rest under half a bin joins
    the last."""
    cuts = list(range(0, len(rows), size))
    if len(cuts) > 1 and len(rows) - cuts[-1] < size / 2:
        cuts.pop()
    result = []
    for first, after in zip(cuts, cuts[1:] + [len(rows)]):
        part = rows[first:after]
        result.append({
            "first": first,
            "keyframes": len(part),
            **{name: statistics.median(row[name] for row in part) for name in STAGES},
            "total_p99_ms": percentile([row["total_ms"] for row in part], 0.99),
        })
    return result


def last_over_first(table, size):
    """Of the medians of the whole, in bins that are full; None where there are not two of them."""
    full = [row["total_ms"] for row in table if row["keyframes"] >= size]
    return full[-1] / full[0] if len(full) > 1 else None


def in_words(keyframes, asked, early):
    """How many keyframes a table is about; `asked` is None where that is not known."""
    of = f" of {asked:,}" if asked not in (None, keyframes) else ""
    return f"{keyframes:,}{of} keyframes" + (", ended early" if early else "")


def show(label, table, ratio):
    print(f"\n{label}: ms per keyframe, medians")
    print(f"{'keyframes':>15} {'rays':>9} {'integrate':>9} {'extract':>9} {'total':>9} {'p99':>9}")
    for row in table:
        span = f"{row['first']}..{row['first'] + row['keyframes'] - 1}"
        print(f"{span:>15} " + " ".join(f"{row[name]:9.3f}" for name in (*STAGES, "total_p99_ms")))
    print(f"last full bin over the first: {ratio:.3f}" if ratio else "too few keyframes for two full bins to compare")


def nice_step(most, parts):
    """A round number that divides 0..most into about so many parts."""
    raw = most / parts
    power = 10 ** math.floor(math.log10(raw))
    return next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= raw)


def draw(file, series):
    """A plain SVG: for each series the median of each bin as a line with dots, and the 99th percentile as a thin dashed one."""
    width, left, right, top, bottom = 760, 64, 20, 30 + 18 * len(series), 52
    height = 300 + top + bottom
    colours = ("#1f6f8b", "#c8553d", "#588157", "#7b4b94", "#b08900", "#444444")
    most_x = max(row["first"] + row["keyframes"] for _, table in series for row in table)
    most_y = 1.08 * max(row["total_p99_ms"] for _, table in series for row in table)

    def x(keyframe):
        return left + (width - left - right) * keyframe / most_x

    def y(ms):
        return height - bottom - (height - top - bottom) * ms / most_y

    def text(at_x, at_y, words, more=""):
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" {more}>{words.replace("&", "&amp;").replace("<", "&lt;")}</text>'

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" '
        f'fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        text(left, 20, "Cost of a keyframe against the size of the map", 'font-size="15" font-weight="bold"'),
    ]
    step = nice_step(most_y, 6)
    for k in range(int(most_y / step) + 1):
        out.append(f'<path d="M{left} {y(k * step):.1f}H{width - right}" stroke="#ddd"/>')
        out.append(text(left - 6, y(k * step) + 4, f"{k * step:g}", 'text-anchor="end"'))
    step = nice_step(most_x, 10)
    for k in range(int(most_x / step) + 1):
        out.append(text(x(k * step), height - bottom + 18, f"{k * step:,.0f}", 'text-anchor="middle"'))
    out.append(text((left + width - right) / 2, height - 12, "keyframes in the map", 'text-anchor="middle"'))
    out.append(text(16, (top + height - bottom) / 2, "ms: median (line), 99th percentile (dashes)",
                    f'text-anchor="middle" transform="rotate(-90 16 {(top + height - bottom) / 2:.1f})"'))
    for number, (label, table) in enumerate(series):
        colour = colours[number % len(colours)]
        middle = [x(row["first"] + row["keyframes"] / 2) for row in table]
        for name, style in (("total_p99_ms", 'stroke-dasharray="4 4" stroke-width="1"'), ("total_ms", 'stroke-width="2"')):
            path = " ".join(f"{at:.1f},{y(row[name]):.1f}" for at, row in zip(middle, table))
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" {style}/>')
        out += [f'<circle cx="{at:.1f}" cy="{y(row["total_ms"]):.1f}" r="3" fill="{colour}"/>' for at, row in zip(middle, table)]
        out.append(f'<circle cx="{left + 5}" cy="{34 + 18 * number}" r="4" fill="{colour}"/>')
        out.append(text(left + 14, 38 + 18 * number, label))
    out.append("</svg>")
    path = pathlib.Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=program(), help="the program (default: $TESSERA_BIN, or the one beside this script)")
    parser.add_argument("--source", default="synthetic:building")
    parser.add_argument("--limit", type=int, default=10_000, help="keyframes (%(default)s)")
    parser.add_argument("--bin", type=int, default=1000, help="keyframes a bin (%(default)s)")
    parser.add_argument("--voxel-size", type=float, nargs="*", default=[0.05], help="metres; one run for each")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--memory-cap", help="as for tessera bench (default: enough for the building)")
    parser.add_argument("--seconds", type=float,
                        help="take no keyframe after so long, and tell how many there were; the map is summed up "
                        "after that, for a tenth of the time or so (default: no limit)")
    parser.add_argument("--read", nargs="*", help="files of `tessera bench --times` to read instead of measuring")
    parser.add_argument("--label", nargs="*", default=[],
                        help="names in the figure: of each file; or of the machine, before the voxel size")
    parser.add_argument("--figure", help="also draw an SVG file")
    parser.add_argument("--json", action="store_true", help="also print one line of JSON for each run")
    parser.add_argument("--keep", help="keep the CSV files in this folder")
    parser.add_argument("more", nargs="*", help="after --: more options for tessera bench")
    options = parser.parse_args()
    if options.limit < 1 or options.bin < 1:
        parser.error("--limit and --bin must be 1 or more")
    if options.seconds is not None and not options.seconds > 0:
        parser.error(f"--seconds is {options.seconds:g}, must be more than 0")
    series = []
    if options.read:
        for number, file in enumerate(options.read):
            label = options.label[number] if number < len(options.label) else pathlib.Path(file).stem
            series.append((label, read(file), None, False))
    else:
        if not options.binary:
            parser.error("--binary or TESSERA_BIN is needed")
        if options.keep:
            os.makedirs(options.keep, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            for voxel_m in options.voxel_size:
                rows, report, early = run(options, voxel_m, options.keep or scratch)
                series.append((" ".join([*options.label, report["backend"], f"{voxel_m * 100:g} cm"]), rows, report, early))
    tables = []
    for label, rows, report, early in series:
        if not rows:
            sys.exit(f"growth: {label} has no keyframe")
        table = bins(rows, options.bin)
        ratio = last_over_first(table, options.bin)
        asked = None if options.read else options.limit
        tables.append((f"{label}, {in_words(len(rows), asked, early)}", table))
        show(*tables[-1], ratio)
        if report:
            print(f"map: {report['field_bytes'] / 1e6:.0f} MB field, {report['triangles']:,} triangles, {report['map_hash']}")
        if options.json:
            print(json.dumps({"label": label, "keyframes": len(rows), "asked": asked, "ended_early": early,
                              "last_over_first": ratio, "bins": table, "report": report}))
    if options.figure:
        draw(options.figure, tables)


if __name__ == "__main__":
    main()
