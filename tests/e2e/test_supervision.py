"""Actors of the running service are killed on purpose while keyframes come: the map, and what viewers see, must be those of a run
in which nothing happened. What cannot be survived ends the program, so that an outer supervisor starts it again."""

import re

import pytest

from support import service
from support.viewer import Viewer

ROLES = ("ingest", "partitioner", "broadcaster", "placement", "device", "inspector")


def send(tessera, folder, running, *options):
    """At a pace at which a drill finds its keyframe."""
    status, _, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", running.url, "--rate", 25, *options)
    assert status == 0, err


def restarts(running, role):
    return sum(actor["restarts"] for actor in running.get("/v1/actors") if actor["role"] == role)


def same_map(running, wanted):
    """The map's hash, once it can be asked: the partitioner may just be starting again."""
    status, body = running.fetch("/v1/map")
    return status == 200 and wanted in body.decode()


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_actor_has_a_successor_and_the_map_is_the_same(tessera, folder, recording, wanted, serve, role):
    third = max(1, len(recording) // 3)
    running = serve(options=("--drill", f"{role}@{third},{role}@{2 * third}"))
    # The second one is killed only once the first has a successor, which would else be killed while it is not there yet.
    send(tessera, folder, running, "--limit", third)
    running.wait(lambda: restarts(running, role) == 1, f"a restart of the {role}")
    send(tessera, folder, running)
    running.wait(lambda: same_map(running, wanted), "the map of an undisturbed run")
    running.wait(lambda: restarts(running, role) == 2, f"two restarts of the {role}")
    viewer = Viewer(running.url)
    running.wait(lambda: viewer.triangles() == running.map()["triangles"] > 0, "the whole map at a viewer")
    viewer.close()
    assert running.fetch("/healthz")[0] == 200
    assert running.metrics()["tessera_lost_actors_total"] == 0
    running.wait_for_line(f"restarting the {role}")
    # It still counts each keyframe once.
    send(tessera, folder, running)
    assert running.map()["hash"] == wanted


def test_all_at_once_and_nothing_is_lost(tessera, folder, recording, wanted, serve):
    third = max(1, len(recording) // 3)
    running = serve(options=("--drill", ",".join(f"{role}@{n * third}" for n in (1, 2) for role in ROLES)))
    send(tessera, folder, running)
    running.wait(lambda: same_map(running, wanted), "the map of an undisturbed run")
    assert running.map()["keyframes"] == len(recording)


def test_a_viewer_is_told_to_connect_again_when_the_broadcaster_dies(tessera, folder, recording, serve):
    running = serve(options=("--drill", f"broadcaster@{len(recording)}"))
    viewer = Viewer(running.url)
    send(tessera, folder, running)
    running.wait(lambda: restarts(running, "broadcaster") == 1, "a restart of the broadcaster")
    running.wait(lambda: viewer.error is not None, "the end of the viewer's stream")
    again = Viewer(running.url)
    running.wait(lambda: again.triangles() == running.map()["triangles"] > 0, "the whole map at the viewer that came back")
    again.close()


def test_the_loss_of_the_supervisor_ends_the_program_with_the_reason(tessera, folder, names):
    running = service.Service(tessera, f"shm:{names.prefix}", options=("--drill", "supervisor@1", *names.options))
    try:
        service.run(tessera, "publish", f"rgbd:{folder}", "--to", running.url, "--rate", 0, "--limit", 1)
        running._process.wait(service.PATIENCE_S)
    finally:
        status = running.stop()
    assert status == 1
    assert re.search("the supervisor ended and cannot be started again", "".join(running.log))


@pytest.mark.parametrize("text, told", [("mesher@5", "mesher@5"), ("ingest", "ROLE@KEYFRAMES"), ("device@x", "device@x"),
                                        ("device@1,launch@2", "1 times, but GPUs in use: 0")])
def test_a_drill_that_cannot_be_is_an_error(tessera, text, told):
    status, _, err = service.run(tessera, "serve", "--backend", "cpu", "--drill", text)
    assert status == 2 and "drill" in err and told in err


def test_what_cannot_be_is_an_error_also_where_the_voxel_size_comes_later(tessera):
    status, _, err = service.run(
        tessera, "serve", "synthetic:room", "--voxel-size", "auto", "--backend", "cpu", "--drill", "gpu@1")
    assert status == 2 and "GPUs in use: 0" in err
