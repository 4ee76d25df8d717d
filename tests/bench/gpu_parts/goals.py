"""What a GPU is meant to reach, and whether it did.

The goals are for one NVIDIA H100 and keyframes of 273,000 points. Times: nvblox v0.0.5 took 1.06, 6.0 and 41 ms on such a GPU for
frames of the same room, from depth images and without uploading them; five, twenty and seventy times faster is what the design is
worth if it works. Keyframes per second: copying 4.1 MB over PCIe at 53 GB/s allows 12,000 and no more; half of that, and a
quarter at 1 cm. Latency: the service as a whole, at 100 keyframes/s, may take less than the time between two keyframes, and
seldom twice that.
"""

# Median of a keyframe, from its upload to its mesh in the device's memory, by voxel size.
STAGES_MS = {0.05: 0.2, 0.02: 0.3, 0.01: 0.6}
P99_OVER_MEDIAN = 3.0
KEYFRAMES_PER_S = {0.05: 6000.0, 0.02: 6000.0, 0.01: 3000.0}
TWO_OVER_ONE = 1.9  # keyframes/s of two GPUs that share a map, over those of the better one alone
LATENCY_P50_MS = 8.0
LATENCY_P99_MS = 20.0
LATENCY_RATE_HZ = 100.0


def at_most(value, goal):
    return _verdict(value, goal, value <= goal)


def at_least(value, goal):
    return _verdict(value, goal, value >= goal)


def _verdict(value, goal, met):
    return {"value": value, "goal": goal, "ratio": value / goal, "met": met}


def in_words(verdict):
    """As a table's cell: the value, the goal."""
    value = verdict["value"]
    places = 0 if value >= 1000 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{places}f}, goal {verdict['goal']:,g}: {'met' if verdict['met'] else '**missed**'}"
