"""The parts of tests/bench/gpu.py: each measures one thing, puts what it found into a dictionary, and lists what failed."""
