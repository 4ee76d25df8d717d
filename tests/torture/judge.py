"""The verdict: what is live, and the map, must be those of a run in which nothing happened."""

import json
import time
from urllib.parse import quote

import numpy as np

from support import service
from torture.keyframes import CONTENT_TYPE, content, numbers


def live_in(running):
    """Pose by id, as a service tells them; None while it cannot."""
    status, text = running.fetch("/v1/cameras")
    return {one["id"]: np.reshape(np.float32(one["pose"]), (4, 4)) for one in json.loads(text)} if status == 200 else None


def difference(wanted, there, scans=()):
    """What is wrong with a service's keyframes, in words; empty if nothing is."""
    histories = {scan.shown(each): scan.history(each) for scan in scans for each in (*scan.live, *scan.gone)}
    out = [f"{each} is missing" for each in wanted.keys() - there.keys()]
    out += [f"{each} is there, and must not be" for each in there.keys() - wanted.keys()]
    out += [f"{each} is elsewhere" for each in wanted.keys() & there.keys() if not np.array_equal(wanted[each], there[each])]
    return [f"{line} ({histories.get(line.split()[0], '')})" for line in sorted(out)]


def undisturbed(program, options, scans, rng):
    """The map that the same keyframes make in a fresh service, sent in another order: hash and number."""
    running = service.Service(program, options=options)
    try:
        all_of_them = [(scan, each, held) for scan in scans for each, held in sorted(scan.live.items())]
        rng.shuffle(all_of_them)
        for scan, each, held in all_of_them:
            headers = {"Content-Type": CONTENT_TYPE, "X-Keyframe-Id": each, "Tessera-Session": quote(scan.session)}
            status, text = running.fetch("/v1/keyframes", data=content(held.frame, held.stamp), headers=headers)
            assert status == 200, (status, text)
            if not np.array_equal(held.pose, held.frame.pose):
                path = f"/v1/keyframes/{quote(each)}/pose?session={quote(scan.session)}"
                body = json.dumps({"pose": numbers(held.pose)}).encode()
                status, text = running.fetch(path, data=body, headers={"Content-Type": "application/json"}, method="PUT")
                assert status == 200, (status, text)
        there = running.map()
        return there["hash"], there["keyframes"]
    finally:
        running.stop()


def settled(running, wanted, scans, limit_s=service.PATIENCE_S):
    """Waits until a service has what it must have, and nothing is under way; says what is wrong if that does not come."""
    until = time.monotonic() + limit_s
    while True:
        there = live_in(running)
        wrong = ["it does not answer"] if there is None else difference(wanted, there, scans)
        if not wrong and running.quiet():
            return
        assert time.monotonic() < until, f"after {limit_s} s:\n" + "\n".join(wrong[:20] or ["it is never quiet"])
        assert running.alive(), "the service ended:\n" + "".join(running.log[-30:])
        time.sleep(0.1)


def verified(program, journal, count):
    """`tessera journal verify` finds all of it, and nothing damaged."""
    status, out, err = service.run(program, "journal", "verify", journal, "--json")
    assert status == 0, f"tessera journal verify ends with {status}:\n{out}{err}"
    found = json.loads(out)["keyframes"]
    assert found == count, f"the journal holds {found} keyframes, and {count} are live"


def seen(running, viewer):
    """Waits until a viewer that was there all the time holds the newest surface of each region, and of no other."""

    def same():
        newest = {tuple(one["region"]): int(one["version"]) for one in running.get("/v1/regions") if one["triangles"] > 0}
        held = {region: patch.version for region, patch in viewer.patches.items() if patch.kind == 0}
        return newest == held

    running.wait(same, "the whole map at the viewer that was there all the time")
