"""The pages in a real browser: what they say and ask, on a phone, too; and the console's figures."""

import json

import tessera_client
from support import browser


def feed(running, frames):
    with tessera_client.connect(running.url, session="") as publisher:
        for frame in frames:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def test_an_empty_map_says_how_to_send_the_first_keyframe(serve, tmp_path):
    running = serve()
    says = "document.querySelector('.notice').textContent"
    shown = f"until:{says}.includes('first keyframe')"
    seen = browser.drive(running.url, tmp_path, shown, f"eval:{says}", "tab:HTTP", f"eval:{says}")
    python, http = seen["values"]
    host = running.url.split("//")[1].rstrip("/")
    assert "publish_keyframe" in python and host in python
    assert "curl" in http and host in http


# What of the page lies beyond the right edge of the screen, but for what scrolls.
BEYOND = """[...document.querySelectorAll('.panel, .notice, .notice *, .top *')]
  .filter((e) => !e.closest('.tab-heads, pre') && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.className || e.tagName)"""


def test_pages_keep_to_a_phones_screen(serve, tmp_path):
    running = serve()
    locked = serve(options=("--token", "right"))
    asks = "until:document.querySelector('.notice') !== null"
    pages = {
        f"{running.url}/": asks, f"{running.url}/console": "until:document.querySelector('.top') !== null",
        f"{locked.url}/?token=wrong": asks, f"{locked.url}/console?token=wrong": asks,
    }
    steps = [step for page, shown in pages.items() for step in (f"goto:{page}", shown, f"eval:{BEYOND}")]
    seen = browser.drive("about:blank", tmp_path, *steps, phone=True)
    assert dict(zip(pages, seen["values"])) == {page: [] for page in pages}


def test_a_wrong_token_is_asked_for_and_not_tried_again_and_again(serve, recording, tmp_path):
    running = serve(options=("--token", "right"))
    asks = "document.querySelector('.notice input') !== null"
    pages = ("", "console")
    seen = browser.drive(
        "about:blank", tmp_path,
        *(step for page in pages for step in (
            f"goto:{running.url}/{page}?token=wrong", f"until:{asks}", "wait:1000", "requests", "wait:3000", "requests",
            "fill:.notice input=right", "button:Open", "until:document.querySelector('.status').textContent.includes('Live')")),
    )
    for page, asked in zip(pages, seen["values"][1::2]):
        assert [r for r in asked if "/v1/" in r] == [], page


def test_the_console_counts_keyframes_and_asks_nothing_while_paused(serve, recording, tmp_path):
    running = serve()
    feed(running, recording)
    running.wait_for_keyframes(len(recording))
    ids = json.dumps([frame.id for frame in recording])
    live = "document.querySelector('.tile dd').textContent"
    offered = "document.querySelector('.station.source b').textContent"
    take = f"Promise.all({ids}.map((id) => fetch('v1/keyframes/' + id, {{ method: 'DELETE' }}).then((r) => r.status)))"
    seen = browser.drive(
        f"{running.url.rstrip('/')}/console", tmp_path,
        f"until:{live} === '8'", "wait:2500", f"until:{offered} !== '–'", f"eval:{offered}",
        f"eval:{take}", "button:Pause", "wait:1500", "requests", "wait:4000", "requests",
        "button:Resume", "until:document.querySelector('.status').textContent.includes('Live')", "requests",
    )
    quiet, statuses, _, paused, resumed = seen["values"]
    assert quiet == "0.0", "nothing is offered, whatever the actors say to each other"
    assert statuses == [200] * len(recording)
    assert [r for r in paused if "/v1/" in r or "/metrics" in r] == []
    assert any("/v1/actors" in r for r in resumed)
