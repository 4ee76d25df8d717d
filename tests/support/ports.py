"""Ports for those who must know theirs before they listen."""

import random
import socket
from pathlib import Path

RESERVED = []  # as long as this process lives


def reserve(port):
    """Whether no other test has chosen the port, and no other will: each holds a name of the kernel's for it."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0tessera-test-port-{port}")
    except OSError:
        name.close()
        return False
    RESERVED.append(name)
    return True


def free_port():
    """A port that nobody listens on at this moment, and that no other test will: outside the range of which the kernel gives each
    client one, since until its listener gets to it, seconds later, some other test's connection could have it."""
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    draw = random.SystemRandom()  # seeds that tests choose would have them draw the same
    while first_of_clients > 16384:
        port = draw.randrange(10240, first_of_clients)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if reserve(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
