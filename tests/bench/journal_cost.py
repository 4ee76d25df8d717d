#!/usr/bin/env python3
"""What a journal costs: service.py with it and without it, in turns, in one run. Medians of the rounds, and their ratios. Or
what snapshots of regions cost: a journal with more of them than anybody needs, and with none.

  journal_cost.py --binary build/release/tessera        25 keyframes/s of 300,000 points at 2 cm, one viewer
  journal_cost.py --binary ... --of snapshots
"""

import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.measuring import command_line, options_of  # noqa: E402

SERVICE = HERE / "service.py"
ROWS = {
    "cpu_cores": "cores",
    "latency_p50_ms": "publish to patch, p50, ms",
    "latency_p99_ms": "publish to patch, p99, ms",
    "drained_s": "left to do at the end, s",
    "resident_bytes_end": "resident memory, bytes",
}


# What service.py is told: with what is compared, and without it.
WAYS = {
    "journal": (("--journal",), ()),
    "snapshots": (("--journal", "--snapshots=often"), ("--journal", "--snapshots=none")),
}


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--points", type=int, default=300_000)
    arguments.add_argument("--rate", type=float, default=25, help="keyframes per second (default: %(default)s)")
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--voxel-m", type=float, default=0.02)
    arguments.add_argument("--door", choices=("amqp", "http", "shm"), default="shm")
    arguments.add_argument("--rounds", type=int, default=3, help="of both (default: %(default)s)")
    arguments.add_argument("--of", choices=WAYS, default="journal", help="what is compared (default: %(default)s)")
    options = options_of(arguments)
    passed_on = ("binary", "points", "rate", "seconds", "voxel_m", "door")
    how = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in passed_on]
    found = {True: [], False: []}
    for number in range(2 * options.rounds):
        having = number % 2 == number // 2 % 2  # on off off on: neither always comes first
        command = [sys.executable, "-B", SERVICE, *how, "--json", *WAYS[options.of][0 if having else 1]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"journal_cost: service.py ended with {done.returncode}")
        found[having].append(json.loads(done.stdout.strip().splitlines()[-1]))
        told = f"{'with' if having else 'without'} {options.of}: {found[having][-1]['cpu_cores']} cores"
        print(told, file=sys.stderr, flush=True)
    middle = {kind: {name: statistics.median(one[name] for one in all_of) for name in ROWS} for kind, all_of in found.items()}
    of_points = statistics.median(one["journal_bytes_of_points"] for one in found[True])
    result = {"with": middle[True], "without": middle[False], "journal_bytes_of_points": of_points,
              "ratios": {name: middle[True][name] / middle[False][name] if middle[False][name] else None for name in ROWS}}
    what_is_sent = f"{options.rate:g} keyframes/s of {options.points} points at {options.voxel_m} m by {options.door}"
    print(f"{what_is_sent}; medians of {options.rounds}")
    print(f"{'':>28}  {'without':>14}  {'with':>14}  {'ratio':>7}")
    for name, what in ROWS.items():
        ratio = result["ratios"][name]
        told = f"{ratio:7.3f}" if ratio is not None else "      -"
        print(f"{what:>28}  {middle[False][name]:14.3f}  {middle[True][name]:14.3f}  {told}")
    print(f"{'on the disk, of the points':>28}  {'':>14}  {of_points:14.4f}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
