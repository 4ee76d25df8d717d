"""What `make install` and `make deb` put beside the program; and a library that a build would not do with."""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from support.left_out import need_program

UNIT = ROOT / "docker" / "systemd" / "tessera.service"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)


def says(tessera, *words):
    done = run(tessera, *words)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def settings(tessera):
    return re.findall(r"^([a-z-]+) = ", says(tessera, "settings"), re.MULTILINE)


@pytest.fixture(scope="module")
def build(tessera):
    folder = Path(tessera).parent
    if not (folder / "cmake_install.cmake").is_file():
        pytest.skip("the program does not lie in a build's folder")
    return folder


def test_the_manual_page_tells_all_commands_and_settings(tessera):
    page = says(tessera, "man")
    need_program("groff", "groff-base")
    shown = run("groff", "-man", "-Tascii", "-P-c", "-wall", input=page)
    assert shown.returncode == 0 and shown.stderr == ""
    text = re.sub("_\b|.\b", "", shown.stdout)
    commands = re.search(r"^Subcommands:\n(.*)", says(tessera, "--help"), re.MULTILINE | re.DOTALL)[1]
    commands = re.findall(r"^  (\w+) ", commands, re.MULTILINE)
    assert {"serve", "journal", "man"} <= set(commands)
    for command in commands:
        assert re.search(rf"^ +tessera {command}\b", text, re.MULTILINE), command
    for name in settings(tessera):
        assert f"--{name}" in text, name
    assert "TESSERA_VOXEL_SIZE, MESH_VOXEL_SIZE" in " ".join(text.split())


def completed(script, *words):
    """What bash offers for the last of these words, of a line that it has split at colons as readline does."""
    asked = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _tessera; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = run("bash", "-c", asked, "bash", script, *words)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_words_and_sources(tessera, tmp_path):
    script = tmp_path / "tessera"
    script.write_text(says(tessera, "completion", "bash"))
    assert completed(script, "tessera", "se") == ["serve", "settings"]
    assert completed(script, "tessera", "serve", "--backend", "") == ["auto", "cpu", "cuda"]
    assert completed(script, "tessera", "serve", "--voxel-size", "") == ["auto"]
    assert completed(script, "tessera", "serve", "--token", "") == []
    assert completed(script, "tessera", "mesh", "--ou") == ["--output"]
    assert completed(script, "tessera", "hash", "sy") == ["synthetic:room", "synthetic:building"]
    assert completed(script, "tessera", "hash", "synthetic", ":", "b") == ["building"]
    (tmp_path / "scan").mkdir()
    assert completed(script, "tessera", "hash", "rgbd", ":", f"{tmp_path}/sc") == [f"{tmp_path}/scan"]
    (tmp_path / "scan.mcap").touch()
    assert completed(script, "tessera", "hash", "recording", ":", f"{tmp_path}/scan.") == [f"{tmp_path}/scan.mcap"]
    assert completed(script, "tessera", "record", "--compression", "") == ["none", "lz4", "zstd"]
    offered = completed(script, "tessera", "serve", "--")
    assert {name for name in settings(tessera) if f"--{name}" not in offered} == {"compression"}  # which is record's


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_understand_their_completion(tessera, shell, tmp_path):
    script = tmp_path / "script"
    script.write_text(says(tessera, "completion", shell))
    need_program(shell)
    assert run(shell, "-n", script).returncode == 0


def test_completion_of_another_shell_is_refused(tessera):
    done = run(tessera, "completion", "csh")
    assert done.returncode == 2
    assert 'SHELL: "csh" is not bash, zsh or fish' in done.stderr


def zsh_completes(folder):
    """Whether zsh finds the completion in a folder of its path (zsh -fc 'print -l $fpath' lists those that it has by itself)."""
    need_program("zsh")
    asked = f"fpath=({folder} $fpath); autoload -U compinit; compinit -D -u; print $_comps[tessera]"
    return run("zsh", "-fc", asked).stdout.strip() == "_tessera"


def test_what_is_installed_is_there_and_runs(tessera, build, tmp_path):
    done = run("cmake", "--install", build, "--prefix", tmp_path)
    assert done.returncode == 0, done.stderr
    assert says(tmp_path / "bin" / "tessera", "--version") == says(tessera, "--version")
    assert gzip.decompress((tmp_path / "share/man/man1/tessera.1.gz").read_bytes()).decode() == says(tessera, "man")
    for path in ("share/bash-completion/completions/tessera", "share/zsh/site-functions/_tessera",
                 "share/fish/vendor_completions.d/tessera.fish", "share/tessera/tessera.toml",
                 "share/tessera/python/tessera_client/__init__.py", "include/tessera/producer.hpp"):
        assert (tmp_path / path).stat().st_size > 0, path
    assert not (tmp_path / "lib").exists()  # the service of systemd is for the package
    assert zsh_completes(tmp_path / "share/zsh/site-functions")


def test_the_package_holds_program_service_and_settings(tessera, build, tmp_path):
    need_program("dpkg-shlibdeps", "dpkg-dev")
    need_program("file")  # CPack asks it which files are programs
    done = run("cpack", "-G", "DEB", "-D", f"CPACK_PACKAGE_DIRECTORY={tmp_path}", cwd=build)
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = tmp_path.glob("tessera_*.deb")
    control = run("dpkg-deb", "-f", package).stdout
    assert re.search(r"^Depends: .*libcaf-core", control, re.MULTILINE)
    there = tmp_path / "there"
    assert run("dpkg-deb", "-R", package, there).returncode == 0
    assert says(there / "usr/bin/tessera", "--version") == says(tessera, "--version")
    assert (there / "DEBIAN/conffiles").read_text().split() == ["/etc/default/tessera", "/etc/tessera/tessera.toml"]
    assert (there / "etc/tessera/tessera.toml").read_text() == says(tessera, "settings")
    assert (there / "etc/default/tessera").stat().st_mode & 0o777 == 0o600
    assert (there / "usr/lib/systemd/system/tessera.service").read_text() == UNIT.read_text()
    assert zsh_completes(there / "usr/share/zsh/vendor-completions") and not (there / "usr/share/zsh/site-functions").exists()
    for script in ("postinst", "prerm", "postrm"):
        assert (there / "DEBIAN" / script).read_text() == (ROOT / "docker" / "debian" / script).read_text()
    need_program("lintian")
    done = run("lintian", "--fail-on", "error", package)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_packages_program_is_told_its_commit():
    need_program("make")
    commit = run("git", "describe", "--always", "--dirty", cwd=ROOT)
    if commit.returncode != 0:
        pytest.skip("the tree is not of git")
    told = run("make", "-n", "deb", cwd=ROOT)
    assert told.returncode == 0, told.stderr
    assert f"-DTESSERA_COMMIT={commit.stdout.strip()} " in told.stdout


def as_dpkg(folder):
    """What dpkg tells a package's scripts, of a system in a folder in which the unit lies: so this machine's own units, and its
    rule on what may be started (policy-rc.d), are left alone. Programs in the folder come first."""
    place = folder / "usr/lib/systemd/system"
    place.mkdir(parents=True)
    shutil.copy(UNIT, place)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "DPKG_ROOT": str(folder),
            "DPKG_MAINTSCRIPT_PACKAGE": "tessera"}


@pytest.mark.parametrize(
    "script, action, asked",
    [
        ("postinst", "configure", ["--system daemon-reload", "try-restart tessera.service"]),
        ("prerm", "remove", ["stop tessera.service"]),
        ("prerm", "upgrade", []),
        ("postrm", "remove", ["--system daemon-reload"]),
        ("postrm", "purge", []),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_what_the_package_asks_of_systemd(script, action, asked, fails, tmp_path):
    """With Debian's own deb-systemd-invoke, and a systemctl that writes down what it is asked."""
    need_program("deb-systemd-invoke", "init-system-helpers")
    runs = tmp_path / "run"  # as /run/systemd/system, where systemd runs
    runs.mkdir()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit {int(fails)}\n')
    systemctl.chmod(0o755)
    copy = tmp_path / script
    copy.write_text((ROOT / "docker" / "debian" / script).read_text().replace("/run/systemd/system", str(runs)))
    env = as_dpkg(tmp_path)
    done = run("sh", copy, action, env=env)
    said = tmp_path / "asked"
    assert (said.read_text().splitlines() if said.exists() else []) == asked
    # A program that still runs is not removed; else the package is as it should be, and what failed is told.
    assert (done.returncode != 0) == (fails and asked != [] and script == "prerm")
    assert len(re.findall("^tessera: ", done.stderr, re.MULTILINE)) == (len(asked) if fails and script != "prerm" else 0)
    runs.rmdir()
    said.unlink(missing_ok=True)
    assert run("sh", copy, action, env=env).returncode == 0 and not said.exists()  # without systemd nobody is asked


def test_a_purge_forgets_that_the_service_was_enabled(tmp_path):
    need_program("deb-systemd-helper", "init-system-helpers")
    env = as_dpkg(tmp_path)
    enabled = tmp_path / "etc/systemd/system/multi-user.target.wants/tessera.service"

    def does(script, action):
        done = run("sh", ROOT / "docker" / "debian" / script, action, env={**env, "PATH": os.environ["PATH"]})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return enabled.is_symlink()

    assert not does("postinst", "configure")
    enabled.parent.mkdir(parents=True)
    enabled.symlink_to("/usr/lib/systemd/system/tessera.service")  # as systemctl enable
    assert does("postinst", "configure") and does("postrm", "remove")
    assert not does("postrm", "purge")
    assert not list((tmp_path / "var/lib/systemd").rglob("tessera*"))


def test_systemd_understands_the_service(tessera, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed, and a test does not bring an init system")
    unit = tmp_path / "tessera.service"
    text = UNIT.read_text().replace("Documentation=man:tessera(1)\n", "")
    unit.write_text(text.replace("/usr/bin/tessera", os.path.abspath(tessera)))
    done = run("systemd-analyze", "verify", unit)
    assert done.returncode == 0 and "tessera.service" not in done.stderr, done.stderr


def test_systemd_finds_little_that_the_service_may():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed, and a test does not bring an init system")
    if "--offline" not in run("systemd-analyze", "--help").stdout:
        pytest.skip("this systemd judges only services that run, and a test does not bring an init system")
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT)  # tenths, of 10.0
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line, version", [("#define CAF_VERSION 1805", "0.18.5"), ("#define CAF_VERSION 10002", "1.0.2"),
                                           ("#define CAF_VERSION CAF_MADE_OF_PARTS", "unknown")])
def test_another_caf_is_refused_before_anything_is_compiled(line, version, tmp_path):
    need_program("cmake")
    (tmp_path / "caf").mkdir()
    (tmp_path / "caf" / "all.hpp").touch()
    (tmp_path / "caf" / "config.hpp").write_text(line + "\n")
    library = tmp_path / "libcaf.so"
    library.touch()
    done = run("cmake", "-S", ROOT, "-B", tmp_path / "build", f"-DCAF_INCLUDE_DIR={tmp_path}", f"-DCAF_CORE_LIBRARY={library}",
               f"-DCAF_IO_LIBRARY={library}", "-DTESSERA_CUDA=OFF", "-DTESSERA_TESTS=OFF", "-DTESSERA_BENCH=OFF")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"has version {version}, and Tessera needs 0.17" in said and "Ubuntu 24.04" in said, said
