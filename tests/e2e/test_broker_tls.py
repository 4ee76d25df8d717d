"""amqps://: the broker is believed only if it should be, and who we are can be shown."""

import pytest

from conftest import a_broker
from support import service
from test_doors import listening


@pytest.fixture(scope="module", params=["optional", "required"])
def tls_broker(tessera, request):
    for made in a_broker(tls=request.param):
        made.wants_certificate = request.param == "required"
        yield made.start()


def address(broker, host="127.0.0.1"):
    return f"amqps://guest:guest@{host}:{broker.tls_port}/"


def ours(broker):
    files = broker.folder
    return ("--amqp-cert", files / "client.pem", "--amqp-key", files / "client.key") if broker.wants_certificate else ()


@pytest.mark.parametrize("form", ["settings", "query"])
def test_serve_and_publish(serve, tessera, folder, recording, wanted, names, tls_broker, form):
    url, files = address(tls_broker), tls_broker.folder
    options = ("--amqp-ca", files / "ca.pem", *ours(tls_broker))
    if form == "query":
        url += f"?cacertfile={files}/ca.pem&verify=verify_peer&heartbeat=10"
        url += f"&certfile={files}/client.pem&keyfile={files}/client.key" if tls_broker.wants_certificate else ""
        options = ()
    running = serve(url, options=options)
    running.wait(lambda: listening(running), "a queue at the broker")
    for more in ((), ("--embed",)):
        status, out, err = service.run(
            tessera, "publish", f"rgbd:{folder}", "--to", url, *names.options, "--rate", "0", *options, *more
        )
        assert status == 0, err
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "ready")


@pytest.mark.parametrize("wrong", ["authority", "system", "name"])
def test_a_broker_that_is_not_believed(serve, tls_broker, wrong):
    """It is said why, and whoever asks whether the service is ready is told."""
    ca = {"authority": ("--amqp-ca", tls_broker.folder / "other.pem"), "system": (),
          "name": ("--amqp-ca", tls_broker.folder / "ca.pem")}
    running = serve(address(tls_broker, "localhost" if wrong == "name" else "127.0.0.1"), options=(*ca[wrong], *ours(tls_broker)))
    what = "mismatch" if wrong == "name" else "certificate"
    running.wait(lambda: any("is not believed" in line and what in line for line in running.log), "the reason")
    status, text = running.fetch("/readyz")
    assert status == 503
    assert b"is not believed" in text
    assert not listening(running)


def test_a_broker_that_is_taken_for_what_it_says(serve, tls_broker):
    running = serve(address(tls_broker, "localhost"), options=("--amqp-insecure", *ours(tls_broker)))
    running.wait(lambda: listening(running), "a queue at the broker")


@pytest.mark.parametrize("tls_broker", ["required"], indirect=True)
def test_who_shows_no_certificate_is_told(serve, tls_broker):
    running = serve(address(tls_broker), options=("--amqp-ca", tls_broker.folder / "ca.pem"))
    running.wait(lambda: any("trying again" in line for line in running.log), "an attempt that failed")
    assert not listening(running)


@pytest.mark.parametrize("tls_broker", ["required"], indirect=True)
@pytest.mark.parametrize("setting", ["--amqp-ca", "--amqp-cert", "--amqp-key"])
def test_a_file_that_will_not_do_is_named(tessera, tls_broker, setting):
    files = tls_broker.folder
    good = {"--amqp-ca": files / "ca.pem", "--amqp-cert": files / "client.pem", "--amqp-key": files / "client.key"}
    for bad in (files / "nowhere.pem", files / "rabbitmq.conf"):
        options = [part for pair in {**good, setting: bad}.items() for part in pair]
        for command in (["serve", address(tls_broker), "--port", "0", "--metrics-port", "0"],
                        ["publish", "synthetic:room", "--limit", "1", "--to", address(tls_broker)]):
            status, out, err = service.run(tessera, *command, *options)
            assert status == 1, out + err
            assert str(bad) in err and setting[2:] in err, err


def test_without_tls_there_are_no_files(tessera):
    url = "amqp://guest:guest@127.0.0.1:9/?cacertfile=/ca.pem"  # refused before anybody is asked
    status, out, err = service.run(tessera, "serve", url, "--port", "0", "--metrics-port", "0")
    assert status == 2
    assert "amqps://" in err and "cacertfile" in err
