"""The pages in a real browser: net/web/dev/drive.mjs, which does what it is told and says what it saw."""

import json
import os
import shutil
import subprocess
from pathlib import Path

WEB = Path(__file__).resolve().parents[2] / "net" / "web"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def why_not():
    """Why no browser can be driven here, or None."""
    if not os.access(CHROMIUM, os.X_OK):
        return f"{CHROMIUM} is not there"
    if shutil.which("node") is None:
        return "node is not installed"
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        return "net/web has no playwright-core: npm ci"
    return None


def drive(url, folder, *steps, limit_s=900, **options):
    """Opens the page, does the steps in order, and returns drive.mjs's answer. A script of the page that threw is a failure."""
    done = subprocess.run(
        ["node", "dev/drive.mjs", url, str(folder), json.dumps({"patience_s": 180, **options}), *steps],
        cwd=WEB,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout.decode()}\n{done.stderr.decode()}"
    return json.loads(done.stdout)
