"""What stands beside the program: the images' files, its own bytes, and pages that point at each other."""

import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from support.left_out import need_program

DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docker").glob("*.md"),
        ROOT / "net" / "clients" / "python" / "README.md", ROOT / "net" / "web" / "README.md"]


@pytest.mark.parametrize("path", ["config/prometheus.yml", "docker/prometheus.yml", "docker/prometheus-host.yml"])
def test_prometheus_understands_its_configuration(path):
    done = subprocess.run([need_program("promtool", "prometheus"), "check", "config", ROOT / path], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_does_not_tell_where_it_was_built(tessera):
    """Errors that users see name files of the project, never a folder of the machine that built it."""
    program = Path(tessera).read_bytes()
    if b".debug_info" in program:
        pytest.skip("this build has debug information")
    for folder in {str(ROOT), str(Path(tessera).parent)}:
        assert folder.encode() not in program


def anchor(heading):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_at_is_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, place = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert place in map(anchor, headings), link


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_a_page_fit(page):
    assert [number for number, line in enumerate(page.read_text().splitlines(), 1) if len(line) > 130] == []
