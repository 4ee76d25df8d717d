"""<tessera-view> in a page of another site, and our pages in a frame of one: in a real browser."""

import contextlib
import json
import math
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import tessera_client
from conftest import ROOT
from support import browser, nginx
from support.left_out import left_out, need_program
from support.ports import free_port
from support.service import PATIENCE_S

TOKEN = "our-word"
EXAMPLE = (ROOT / "net" / "web" / "examples" / "embed.html").read_text()
VIEW = "document.querySelector('tessera-view')"
CANVAS = f"{VIEW}.shadowRoot.querySelector('canvas')"
STATE = f"{VIEW}.state"
# The share of the map's picture that is lighter than what is behind the map.
LIGHT = f"""(() => {{
  {VIEW}.view_.scene.draw();
  const c = document.createElement('canvas');
  c.width = 160;
  c.height = 100;
  const d = c.getContext('2d');
  d.drawImage({CANVAS}, 0, 0, 160, 100);
  const p = d.getImageData(0, 0, 160, 100).data;
  let n = 0;
  for (let i = 0; i < p.length; i += 4) n += p[i] > 90;
  return n / (160 * 100);
}})()"""
# The view has come to rest, and the map stands upright: the recording's world has z up.
SETTLED = f"until:(({{ moving, shown_up }}) => !moving && shown_up[2] > 0.9995)({VIEW}.view_.snapshot())"
# It shows the service's whole map.
WHOLE = f"""until:(({{ state, stats, view_ }}) => {{
  const said = view_.stream.stats;
  return state.name === 'online' && said && stats.triangles > 0 && stats.triangles === said.triangles && said.pending === 0;
}})({VIEW})"""
REST = f"until:{VIEW}.view_.snapshot().moving === false"


@contextlib.contextmanager
def site(folder):
    """Serves a folder at http://localhost:PORT: another site than 127.0.0.1, to a browser."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def page(body, head=""):
    return f"<!doctype html><meta charset='utf-8'><title>somebody's</title>{head}<body>{body}</body>"


@pytest.fixture
def mapped(serve, recording):
    """A service with a token and the recording's map, and a page of three lines with it."""
    running = serve(options=("--token", TOKEN))
    with tessera_client.connect(running.url, session="", token=TOKEN) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)

    def ask(path):
        with urllib.request.urlopen(f"{running.url}{path}?token={TOKEN}", timeout=PATIENCE_S) as answer:
            return json.load(answer)

    running.ask = ask
    running.wait(lambda: ask("/v1/map")["keyframes"] == len(recording), "all keyframes")
    running.three_lines = page(
        f"<tessera-view src='{running.url}' token='{TOKEN}'></tessera-view>",
        f"<script type='module' src='{running.url}/element.js'></script><style>tessera-view {{ height: 620px }}</style>",
    )
    return running


def test_the_example_page_shows_the_map_on_another_site(mapped, recording, tmp_path):
    # What a site's own style sheet may say of canvases and classes is not said to ours.
    hostile = "<style>canvas { display: none !important } .stage { position: static !important; height: 0 !important }</style>"
    text = EXAMPLE.replace("http://127.0.0.1:8080", mapped.url).replace("SECRET", TOKEN).replace("</head>", hostile + "</head>")
    (tmp_path / "embed.html").write_text(text)
    box = f"(({{ width, height }}) => [width, height])({CANVAS}.getBoundingClientRect())"
    with site(tmp_path) as url:
        seen = browser.drive(
            f"{url}/embed.html", tmp_path, WHOLE, SETTLED, f"until:{LIGHT} > 0.1", f"eval:{box}", f"eval:{VIEW}.stats",
            "eval:document.querySelector('output').value", "button:Shape", f"until:{VIEW}.shading === 'clay'",
            f"eval:{VIEW}.view", f"eval:{CANVAS}.scrollIntoView()", f"eval:{CANVAS}.click()", "requests", "shot:embed",
        )
    (width, height), stats, said, view, _, _, asked = seen["values"]
    assert width > 700 and height == pytest.approx(448, abs=1), "the size that the page gives it"
    assert stats["keyframes"] == len(recording) and stats["triangles"] > 0
    assert said == "online"
    assert "shade=clay" in view
    # One file of the module, whatever it needs: a worker of another site's file would not be allowed.
    ours = {address.removeprefix(mapped.url).split("?")[0] for address in asked if address.startswith(mapped.url)}
    assert ours <= {"/element.js", "/v1/stream"}


def test_a_click_tells_the_place_and_the_wheel_is_the_maps_once_it_was_clicked(mapped, tmp_path):
    (tmp_path / "index.html").write_text(mapped.three_lines.replace("</body>", "<p style='height: 3000px'>below</p></body>"))
    listen = f"{VIEW}.addEventListener('tessera-pick', (e) => window.picked = e.detail)"
    with site(tmp_path) as url:
        seen = browser.drive(
            url, tmp_path, WHOLE, SETTLED, f"eval:{listen}", f"eval:{VIEW}.view",
            "wheel:300", "until:scrollY > 0", f"eval:{VIEW}.view", "eval:scrollTo(0, 0)", "until:scrollY === 0",
            "tap:720,320", "until:window.picked", "eval:picked", "wheel:300", REST, f"eval:{VIEW}.view", "eval:scrollY",
        )
    _, before, scrolled, _, picked, zoomed, scroll = seen["values"]
    assert scrolled == before, "the page was scrolled, and the map not touched"
    assert zoomed != before and scroll == 0, "and then the other way round"
    assert len(picked["point"]) == len(picked["region"]) == 3
    regions = [tuple(region["region"]) for region in mapped.ask("/v1/regions")]
    assert tuple(picked["region"]) in regions


def test_a_map_that_is_taken_out_of_the_page_leaves_nothing_behind(mapped, tmp_path):
    watch = ("<script>{ const Real = WebSocket; window.sockets = []; window.WebSocket = class extends Real { "
             "constructor(...with_) { super(...with_); sockets.push(this); } }; }</script>")
    (tmp_path / "index.html").write_text(mapped.three_lines.replace("<script", watch + "<script", 1))
    take_out = f"(() => {{ const v = {VIEW}; window.kept = v; window.canvas = {CANVAS}; v.remove(); }})()"
    # More drawing contexts than a browser lends a page: those of before must have been given back.
    again = """(async () => {
      for (let i = 0; i < 20; i++) {
        document.body.append(kept);
        await new Promise((done) => requestAnimationFrame(done));
        kept.remove();
        await new Promise((done) => requestAnimationFrame(done));
      }
      document.body.append(kept);
    })()"""
    moved = (f"(() => {{ window.canvas = {CANVAS}; document.body.append(document.createElement('main')); "
             f"document.querySelector('main').append({VIEW}); }})()")
    with site(tmp_path) as url:
        seen = browser.drive(
            url, tmp_path, WHOLE, f"eval:{take_out}", "until:canvas.getContext('webgl2').isContextLost()", "workers:0",
            "until:sockets.length > 0 && sockets.every((s) => s.readyState === WebSocket.CLOSED)",
            "eval:kept.stats.triangles", f"eval:{again}", WHOLE, SETTLED, f"until:{LIGHT} > 0.1", "eval:canvas.isConnected",
            f"eval:{moved}", "eval:new Promise((done) => setTimeout(() => done(canvas.isConnected), 0))",
        )
    assert seen["values"] == [None, 0, None, False, None, True], "moved within the page, it goes on"


def test_a_link_copied_in_the_viewer_is_the_same_view_in_the_element(mapped, tmp_path):
    region = max(mapped.ask("/v1/regions"), key=lambda r: r["triangles"])["region"]
    named = ",".join(map(str, region))
    catch = "navigator.clipboard.writeText = (text) => (window.copied = text, Promise.resolve())"
    inside = """(() => {
      const s = VIEW.scene, p = s.region_corners(REGION), one = s.camera.position.clone();
      let inside = 0;
      for (let i = 0; i < p.length; i += 3) {
        const q = s.on_screen(one.set(p[i], p[i + 1], p[i + 2]));
        inside += q && q.x >= 0 && q.x <= s.canvas.clientWidth && q.y >= 0 && q.y <= s.canvas.clientHeight;
      }
      return inside / (p.length / 3);
    })()""".replace("REGION", json.dumps(region))
    viewer = browser.drive(
        f"{mapped.url}/?token={TOKEN}#region={named}&shade=clay", tmp_path, "whole",
        "until:tessera.snapshot().shown_up[2] > 0.9995", "rest",
        f"eval:{inside.replace('VIEW', 'tessera')}", "eval:tessera.region", "shot:region", f"eval:{catch} && 1", "key:y",
        "until:window.copied", "eval:copied", "eval:tessera.snapshot()",
    )
    framed, chosen, _, copied, there = viewer["values"]
    assert framed == 1 and chosen == region
    assert TOKEN not in copied and f"region={named}" in copied and "shade=clay" in copied and "eye=" in copied
    (tmp_path / "index.html").write_text(mapped.three_lines.replace(f"src='{mapped.url}'", f"src='{copied}'", 1))
    alone = f"{VIEW}.view = 'region={named}'"
    with site(tmp_path) as url:
        embedded = browser.drive(
            url, tmp_path, WHOLE, SETTLED, f"eval:{VIEW}.view_.snapshot()", f"eval:{VIEW}.shading",
            f"eval:{VIEW}.shading = 'normals'", f"eval:{alone}", f"until:{VIEW}.view.includes('region={named}')", REST,
            f"eval:{inside.replace('VIEW', VIEW + '.view_')}", f"eval:{VIEW}.shading",
        )
    here, shading, _, _, framed, own = embedded["values"]
    assert math.dist(here["eye"], there["eye"]) < 0.01 and math.dist(here["looks"], there["looks"]) < 0.01
    assert here["region"] == region and shading == "clay"
    assert framed == 1 and own == "normals", "a link that says nothing of the shading leaves it"


def test_the_page_is_told_why_there_is_no_map(mapped, serve, tmp_path):
    open_to_us = serve()
    (tmp_path / "index.html").write_text(mapped.three_lines.replace(TOKEN, "wrong"))
    reason = f"eval:{STATE}"
    with site(tmp_path) as url:
        seen = browser.drive(
            url, tmp_path, f"until:{STATE}.name === 'error'", reason, f"eval:{VIEW}.shadowRoot.textContent",
            f"eval:{VIEW}.token = '{TOKEN}'", WHOLE,
            f"eval:{VIEW}.token = ''", f"until:{STATE}.name === 'error'", reason,
            f"eval:{VIEW}.src = '{open_to_us.url}'", f"until:{STATE}.name === 'offline'", reason,
            f"eval:{VIEW}.src = 'nonsense:'", f"until:{STATE}.name === 'error'", reason,
        )
    refused, line, _, _, missing, _, foreign, _, nonsense = seen["values"]
    assert refused["reason"] == "the token was refused" and "The token was refused" in line
    assert missing["reason"] == "the service asks for a token"
    assert "only with a token" in foreign["reason"]
    assert "nonsense:" in nonsense["reason"]


def test_a_proxy_that_holds_the_token_lets_everyone_look_and_no_more(mapped, tmp_path):
    told = (ROOT / "docs" / "embedding.md").read_text().split("```nginx\n")[1].split("```")[0]
    locations = told.replace("http://127.0.0.1:8080", mapped.url).replace("SECRET", TOKEN)
    port = free_port()
    at = f"http://127.0.0.1:{port}/lab"

    def status(path, method):
        try:
            with urllib.request.urlopen(urllib.request.Request(at + path, method=method), timeout=PATIENCE_S) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with nginx.running(tmp_path, port, f"server {{ listen 127.0.0.1:{port}; {locations} }}"):
        assert status("/v1/map", "GET") == 200
        refused = {(path, method): status(path, method) for path, method in (
            ("/v1/map", "DELETE"), ("/v1/keyframes", "POST"), ("/v1/keyframes", "DELETE"), ("/v1/actors", "GET"), ("/", "GET"))}
        assert set(refused.values()) <= {403, 404, 405}, refused
        text = mapped.three_lines.replace(mapped.url, at).replace(f" token='{TOKEN}'", "")
        assert TOKEN not in text
        (tmp_path / "index.html").write_text(text)
        with site(tmp_path) as url:
            browser.drive(url, tmp_path, WHOLE, SETTLED, f"until:{LIGHT} > 0.1")


def test_the_import_that_defines_the_element_is_still_there_without_types():
    told = (ROOT / "docs" / "embedding.md").read_text().split("```ts\n")[1].split("```")[0]
    esbuild = browser.need_node_module("esbuild") / "bin" / "esbuild"
    done = subprocess.run([esbuild, "--loader=ts"], input=told, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert re.search(r'^import\b.*"tessera-web";$', done.stdout, re.MULTILINE), done.stdout


def test_what_npm_packs_is_the_module_with_its_types(tmp_path):
    """What another project gets: the files, and the snippet of docs/embedding.md compiled against them alone."""
    tsc = browser.need_node_module("typescript") / "bin" / "tsc"
    if not (browser.WEB / "dist" / "element.js").is_file():
        left_out("net/web has no dist/element.js: npm run build")
    env = {**os.environ, "npm_config_cache": str(tmp_path / "cache"), "npm_config_update_notifier": "false"}
    done = subprocess.run([need_program("npm"), "pack", "--json", "--offline", f"--pack-destination={tmp_path}"],
                          cwd=browser.WEB, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    (packed,) = json.loads(done.stdout)
    assert {file["path"] for file in packed["files"]} == {
        "README.md", "dist/element.js", "element.d.ts", "examples/embed.html", "package.json"}
    place = tmp_path / "node_modules" / "tessera-web"
    place.mkdir(parents=True)
    subprocess.run(["tar", "-xf", tmp_path / packed["filename"], "-C", place, "--strip-components=1"], check=True)

    def compiled(text):
        (tmp_path / "theirs.ts").write_text(text)
        return subprocess.run(
            ["node", tsc, "--noEmit", "--strict", "--skipLibCheck", "false", "--noUncheckedSideEffectImports",
             "--target", "ES2022", "--module", "ESNext", "--moduleResolution", "Bundler", "--lib", "ES2022,DOM", "theirs.ts"],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    told = (ROOT / "docs" / "embedding.md").read_text().split("```ts\n")[1].split("```")[0]
    done = compiled(told)
    assert done.returncode == 0, done.stdout
    for right, wrong in (('"height"', '"heights"'), ("detail.reason", "detail.cause"), ('"tessera-web";  ', '"tessera-net";')):
        assert right in told
        done = compiled(told.replace(right, wrong, 1))
        assert done.returncode == 2 and "theirs.ts(" in done.stdout, done.stdout


def test_the_package_needs_no_other():
    """Its module has all inside, so what it is built of is for builds alone; and no lock names a registry."""
    package, lock = (json.loads((browser.WEB / name).read_text()) for name in ("package.json", "package-lock.json"))
    assert "dependencies" not in package and {"three", "vite"} <= set(package["devDependencies"])
    assert package["license"] == "Apache-2.0"
    assert package["types"] == package["exports"]["."]["types"] and (browser.WEB / package["types"]).is_file()
    outermost = lock["packages"][""]
    assert all(outermost.get(part) == package.get(part) for part in ("version", "license", "dependencies", "devDependencies"))
    assert all(one.get("dev") or one.get("devOptional") for path, one in lock["packages"].items() if path)
    assert not any("resolved" in one for one in lock["packages"].values())
    # A build under NODE_ENV=production, too, installs what it needs.
    for file in ("Makefile", "docker/image-program"):
        calls = re.findall(r"npm ci\b.*", (ROOT / file).read_text())
        assert calls and all("--include=dev" in call for call in calls), file


def test_pages_are_shown_in_frames_of_those_who_may(serve, tmp_path):
    with site(tmp_path) as url:
        closed = serve()
        framing = serve(options=("--frame-ancestors", f"https://example.org,{url}"))
        for name, running in (("closed", closed), ("open", framing)):
            (tmp_path / f"{name}.html").write_text(page(f"<iframe src='{running.url}/' width='900' height='600'></iframe>"))
        refused = browser.drive(f"{url}/closed.html", tmp_path, "frames")
        shown = browser.drive(f"{url}/open.html", tmp_path, "framed:document.querySelector('.notice') !== null", "frames")
    assert not refused["values"][0][0].startswith("http"), "the page is loaded with its frames, and there is nothing in this one"
    assert shown["values"] == [[f"{framing.url}/"]]
    for running, said in ((closed, "'none'"), (framing, f"https://example.org {url}")):
        with urllib.request.urlopen(running.url, timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Security-Policy"].endswith(f"; frame-ancestors {said}")
