"""The journal's log, damaged on purpose: whole records are kept in their order, and damage is named, never passed over."""

import collections
import os
import shutil
import types

from support import service
from torture import judge
from torture.faults import newest_log, tear
from torture.producers import HttpProducer

OPERATIONS = 24
MAPPING = ("--voxel-size", "0.1", "--truncation", "0.3", "--threads", "2")


def history(program, journal, rng):
    """Lets a service do one thing after another, and kills it; returns what was live after each of them, nothing at first."""
    running = service.Service(program, options=(*MAPPING, "--journal", journal))
    try:
        port = int(running.url.rsplit(":", 1)[1])
        alone = types.SimpleNamespace(victim=types.SimpleNamespace(port=port, successors=lambda: 0), go_on=lambda: None)
        producer = HttpProducer(alone, "tail", rng)
        states = [{}]
        for _ in range(OPERATIONS):
            before = producer.scan.operations
            while producer.scan.operations == before:
                rng.choices((producer.new, producer.move, producer.retract), (4, 3, 2))[0]()
            states.append(producer.scan.wanted())
        return states
    finally:
        running.crash()


def cut_off(log, rng):
    os.truncate(log, rng.randrange(os.path.getsize(log)))


def turn_a_bit(log, rng):
    place = rng.randrange(os.path.getsize(log))
    with open(log, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0] ^ 1 << rng.randrange(8)
        file.seek(place)
        file.write(bytes((byte,)))


WAYS = {"log cut off": cut_off, "bit of the log turned": turn_a_bit, "torn record at the log's end": tear}


def torture(program, folder, rng, each):
    """`each` copies of a journal are damaged in each way. Returns how many of what was done. Throws AssertionError if anything
    was lost that was whole, or damage passed over."""
    journal = os.path.join(folder, "tail")
    done = collections.Counter()
    states = history(program, journal, rng)
    try:
        for number in range(each):
            for what, damage in WAYS.items():
                copy = f"{journal}-{number}"
                shutil.copytree(journal, copy)
                try:
                    damage(copy if damage is tear else newest_log(copy), rng)
                    named = salvaged(program, copy)
                    kept = whole_records(program, copy, states)
                    where = f"{what}, {kept} of {OPERATIONS} operations kept, damage {'named' if named else 'not named'}"
                    assert not named or damage is turn_a_bit, where
                    assert kept == OPERATIONS or named or damage is cut_off, where
                    done[what] += 1
                finally:
                    shutil.rmtree(copy, ignore_errors=True)
    finally:
        shutil.rmtree(journal, ignore_errors=True)
    return done


def salvaged(program, journal):
    """Whether the journal is found to be damaged; if so, command and service say it, and what is whole is salvaged."""
    status, _, err = service.run(program, "journal", "verify", journal)
    if status == 0:
        return False
    assert "is damaged" in err and "salvage" in err, err
    status, _, err = service.run(program, "serve", "--port", 0, "--metrics-port", 0, *MAPPING, "--journal", journal)
    assert status == 1 and "is damaged" in err and "salvage" in err, (status, err)
    status, _, err = service.run(program, "journal", "salvage", journal)
    assert status == 0, err
    return True


def whole_records(program, journal, states):
    """How many operations, from the first on, a service finds in a journal: it must be a state in which it once was."""
    running = service.Service(program, options=(*MAPPING, "--journal", journal))
    try:
        running.wait(lambda: running.fetch("/v1/map")[0] == 200, "the map of the journal")
        there = judge.live_in(running)
    finally:
        assert running.stop() == 0, "".join(running.log)
    same = [number for number, state in enumerate(states) if not judge.difference(state, there)]
    assert same, "no moment was like this:\n" + "\n".join(judge.difference(states[-1], there))
    return same[-1]
