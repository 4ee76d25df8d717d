"""The folder that `make bundle` makes: it must run from anywhere, with nothing from outside but the C library and a GPU's
driver."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT
from support import browser, service
from support.left_out import need_program

OUTSIDE = re.compile(r"(linux-vdso|ld-linux[-0-9a-z]*|lib(c|m|pthread|dl|rt|resolv|cuda|nvidia-[-a-z]+))\.so")


@pytest.fixture(scope="module")
def bundle(tessera, tmp_path_factory):
    """A bundle of the program alone, moved away from where it was made, to a path with a space in it."""
    need_program("patchelf")
    browser.need_node_module("three")  # whose licence is bundled
    build = os.path.dirname(tessera)
    out = tmp_path_factory.mktemp("bundles")
    status, made, err = service.run(ROOT / "docker" / "bundle", build, out, "tessera")
    assert status == 0, err
    folder = made.strip().splitlines()[-1]
    assert re.fullmatch(r"tessera-[0-9.]+-\w+", os.path.basename(folder))
    return shutil.move(folder, tmp_path_factory.mktemp("some where") / "else")


def alone(bundle, *arguments):
    """Runs a program of the bundle with no environment to speak of, in another folder; returns what it printed."""
    done = subprocess.run(
        [bundle / "bin" / "tessera", *arguments], env={"LD_LIBRARY_PATH": ""}, cwd="/", capture_output=True, text=True,
        timeout=service.PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bundle_takes_no_library_from_the_machine(bundle):
    told = subprocess.run(
        ["ldd", bundle / "bin" / "tessera"], env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": ""}, cwd="/",
        capture_output=True, text=True, check=True,
    ).stdout
    inside = 0
    for name, path in re.findall(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", told, re.MULTILINE):
        if os.path.realpath(path).startswith(str(bundle / "lib") + "/"):
            inside += 1
        else:
            assert OUTSIDE.match(name), f"{name} comes from {path}"
    assert inside > 3, told


def test_a_bundle_makes_the_same_map(bundle, tessera):
    assert alone(bundle, "--version") == service.run(tessera, "--version")[1]
    wanted = service.run(tessera, "hash", "synthetic:room", "--limit", 3)[1]
    assert wanted and alone(bundle, "hash", "synthetic:room", "--limit", "3") == wanted


def test_a_bundle_measures_itself(bundle, tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", "-S", bundle / "bin" / "gpu.py", "synthetic:room", "--limit", "2", "--backend", "cpu", "--only",
         "bench", "growth", "--growth", "2", "--rounds", "1", "--voxels", "0.1", "--out", tmp_path / "out"],
        env={"LD_LIBRARY_PATH": ""}, cwd="/", capture_output=True, text=True, timeout=service.PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"report.json", "report.md", "where_time_goes.svg",
            "growth_5cm.svg"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_bundle_tells_the_terms_of_all_that_is_in_it(bundle):
    licences = {path.name for path in (bundle / "licences").iterdir() if path.stat().st_size > 0}
    assert {"tessera", "three"} <= licences
    # Every library comes from a package; several may come from one.
    for library in (bundle / "lib").iterdir():
        stem = re.match(r"lib([a-z]+)", library.name)[1]
        assert any(stem in licence or (stem in ("crypto", "ssl") and "ssl" in licence) or (stem == "z" and "zlib" in licence)
                   or (stem == "stdc" and "stdc" in licence) for licence in licences), f"no licence for {library.name}"
