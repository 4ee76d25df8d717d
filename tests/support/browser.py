"""The pages in a real browser: net/web/dev/drive.mjs, which does what it is told and says what it saw."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.left_out import left_out, need_program

WEB = Path(__file__).resolve().parents[2] / "net" / "web"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def need():
    """Leaves out who calls it where no browser can be driven."""
    if not os.access(CHROMIUM, os.X_OK):
        left_out(f"{CHROMIUM} is not there")
    need_node_module("playwright-core")


def need_node_module(name):
    """Leaves out who calls it where node or a package of the viewer's tests is not installed; else returns the package's
    folder."""
    if shutil.which("node") is None:
        left_out("node is not installed")
    folder = WEB / "node_modules" / name
    if not folder.is_dir():
        left_out(f"net/web has no {name}: npm ci")
    return folder


def home_that_believes(folder, authority):
    """Makes the folder the home of a user whose browser believes an authority, besides those that all do: Chromium reads the NSS
    database that lies there."""
    database = folder / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = need_program("certutil", "libnss3-tools")
    for words in (("-N", "--empty-password"), ("-A", "-n", "authority", "-t", "C,,", "-i", authority)):
        subprocess.run([certutil, "-d", f"sql:{database}", *words], stdin=subprocess.DEVNULL, check=True)
    return folder


@functools.cache
def shared():
    """One browser for all that this process does with pages, since it costs seconds to start one: its process and its address."""
    said = tempfile.TemporaryFile("w+")  # no pipe: nobody reads it while the browser runs
    process = subprocess.Popen(
        ["node", "dev/browser.mjs"], cwd=WEB, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
    atexit.register(process.communicate)  # it ends with its standard input
    address = process.stdout.readline().strip()
    if not address:
        status = process.wait()
        said.seek(0)
        pytest.fail(f"no browser was started: dev/browser.mjs ended with {status}\n{said.read()}", pytrace=False)
    return process, address


def drive(url, folder, *steps, limit_s=900, home=None, **options):
    """Opens the page, does the steps in order, and returns drive.mjs's answer. A script of the page that threw is a failure.
    Leaves out its test where no browser can be driven. `home`: that of a user whose browser, one of its own, it is to be."""
    need()
    options = {"patience_s": 180, "browser": "" if home else shared()[1], **options}
    done = subprocess.run(
        ["node", "dev/drive.mjs", url, str(folder), json.dumps(options), *steps],
        cwd=WEB,
        env={**os.environ, **({"HOME": str(home)} if home else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout.decode()}\n{done.stderr.decode()}"
    return json.loads(done.stdout)
