"""How a keyframe is best brought to the GPU: each way, by bench_upload, from segments whose pages are mapped at once and from
others."""

import json

from . import latency


def measure(job, data, failures):
    """Sets data["left_out"] where bench_upload was not built."""
    program = job.program("bench_upload")
    if not program.is_file():
        data["left_out"] = f"{program} is not here; it is built where nvcc is"
        return
    rows = data["runs"] = []
    for more in ([], ["--no-populate"]):
        ended = job.runner.run([program, "--segments", job.options.upload_segments, *more, "--json"], job.limit_s("upload"))
        if ended.late:
            latency.remove_segments(ended.pid)
        if ended.reason:
            failures.append(ended.complaint())
        lines = ended.out.strip().splitlines()
        if lines:
            rows.append(json.loads(lines[-1]))
        elif not ended.reason:
            failures.append(f"{ended.command}: it printed nothing")
