"""Too little of something: descriptors, memory, threads. What runs goes on when it is over; what cannot start says why."""

import os
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import service

PATIENCE_S = service.PATIENCE_S


def answers(running, base=None, path="/healthz"):
    try:
        return running.fetch(path, base)[0] == 200
    except OSError:
        return False


def ports(running):
    return [(running.url, "/healthz"), (running.metrics_url, "/metrics")]


def address_of(url):
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def crowd(url, count):
    """Connections that nobody may have accepted."""
    out = []
    for _ in range(count):
        one = socket.socket()
        one.settimeout(PATIENCE_S)
        try:
            one.connect(address_of(url))
        except OSError:
            one.close()
            continue
        out.append(one)
    return out


def descriptors(pid):
    """What a process has open."""
    out = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            out.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass  # closed meanwhile
    return out


def test_both_ports_go_on_after_descriptors_ran_out(serve):
    running = serve()
    running.wait(lambda: "anon_inode:inotify" in descriptors(running.pid), "the source's watch")  # which it cannot do without
    time.sleep(0.5)  # what it looks through at first
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    used = len(descriptors(running.pid))
    for url, _ in ports(running):
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (used + 3, hard))
        try:
            waiting = crowd(url, 40)
            running.wait(lambda: len(descriptors(running.pid)) >= used + 3, "all descriptors in use")
            time.sleep(0.5)  # it tries again meanwhile
        finally:
            resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for one in waiting:
            one.close()
        running.wait(lambda: all(answers(running, base, path) for base, path in ports(running)), "both ports to answer",
                     PATIENCE_S)


def virtual_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def post(url, body, out):
    """Sends a body, and notes the status and the headers of the answer."""
    try:
        with socket.create_connection(address_of(url), PATIENCE_S) as one:
            one.sendall(
                b"POST /v1/keyframes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vnd.tessera.keyframe\r\n"
                b"X-Keyframe-Id: large\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            try:
                one.sendall(body)
            except OSError:
                pass  # it may have answered already
            out.append(one.recv(65536).decode(errors="replace"))
    except OSError as error:
        out.append(str(error))


def test_bodies_without_memory_are_not_now_and_the_ports_stay(serve):
    running = serve(options=("--body-limit", "256MiB"))
    unlimited = resource.prlimit(running.pid, resource.RLIMIT_AS)
    said = []
    try:
        resource.prlimit(running.pid, resource.RLIMIT_AS, (virtual_bytes(running.pid) + (24 << 20), unlimited[1]))
        senders = [threading.Thread(target=post, args=(running.url, bytes(60 << 20), said)) for _ in range(3)]
        for one in senders:
            one.start()
        for url, _ in ports(running):
            for one in crowd(url, 200):
                one.close()
        for one in senders:
            one.join(PATIENCE_S)
    finally:
        resource.prlimit(running.pid, resource.RLIMIT_AS, unlimited)
    assert len(said) == 3
    for answer in said:
        assert answer.startswith("HTTP/1.1 503 ") and "Retry-After: " in answer, answer
    running.wait(lambda: all(answers(running, base, path) for base, path in ports(running)), "both ports to answer", PATIENCE_S)
    assert running.metrics()['tessera_keyframes_not_now_total{reason="memory"}'] >= 3
    status, text = running.fetch("/readyz")
    assert status == 503 and b"no memory" in text, text


def outcome_of(tessera, arguments, limits, user):
    """Starts a service under limits; ends it if it starts. Returns its exit status and what it said."""

    def confine():
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        for which, value in limits.items():
            resource.setrlimit(which, (value, value))

    process = subprocess.Popen([tessera, "serve", *arguments, "--port", "0", "--metrics-port", "0"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=service.clean_environment(),
                               preexec_fn=confine)
    said = []
    listening = threading.Event()

    def read():
        for line in process.stdout:
            said.append(line.decode(errors="replace"))
            if "metrics on" in said[-1]:
                listening.set()
        listening.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert listening.wait(PATIENCE_S), "it neither started nor ended:\n" + "".join(said)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
    return process.returncode, "".join(said)


@pytest.mark.parametrize("what", ["threads", "address space"])
def test_a_start_that_cannot_be_says_why(request, names, what):
    arguments = (f"shm:{names.prefix}", "--voxel-size", "0.05", "--threads", "2")
    user = 0
    if what == "threads":
        tessera = request.getfixturevalue("for_others")
        user = 50_000 + os.getpid() % 10_000
        cases = [{resource.RLIMIT_NPROC: n} for n in (1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 32)]
    else:
        tessera = request.getfixturevalue("tessera")
        cases = [{resource.RLIMIT_AS: mib << 20} for mib in (100, 150, 200, 300, 400, 600, 1000)]
    refused = 0
    for limits in cases:
        status, said = outcome_of(tessera, arguments, limits, user)
        if "metrics on" in said:
            assert status == 0, (limits, said)
            continue
        refused += 1
        if "error while loading shared libraries" in said:
            continue  # not even the program came in
        assert status == 1 and "tessera: " in said, (limits, status, said)
    assert refused > 0


@pytest.mark.parametrize("processes", [1, 2, 4, 6])
def test_a_map_without_its_threads_is_refused(for_others, processes):
    user = 60_000 + os.getpid() % 5_000

    def confine():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    def confine_more():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))

    done = subprocess.run([for_others, "hash", "synthetic:room", "--limit", "1", "--voxel-size", "0.05", "--threads", "4"],
                          cwd="/",
                          preexec_fn=confine_more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S,
                          check=False)
    assert done.returncode == 1 and b"tessera: " in done.stdout, (done.returncode, done.stdout)


def test_bad_addresses_are_refused_at_once(tessera):
    for address in ("nonsense", "256.0.0.1", "127.0.0.1:80", ""):
        status, _, err = service.run(tessera, "serve", "synthetic:room", "--bind", address, "--port", "0", "--metrics-port", "0")
        assert status == 2 and "bind" in err, (address, status, err)
