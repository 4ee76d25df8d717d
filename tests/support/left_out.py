"""What a test needs and does not find."""

import importlib
import os
import shutil

import pytest


def left_out(why):
    """Ends a test, or all of a file, for want of something that `make test` installs. Where TESSERA_REQUIRE_ALL is set, as in CI,
    that is a failure. A machine without a GPU or root has nothing to mend: there tests use pytest.skip."""
    if os.environ.get("TESSERA_REQUIRE_ALL"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why, allow_module_level=True)


def need_module(name, package):
    """A Python module, which a Debian package brings. One that is there and cannot be imported is a failure, not a lack."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        left_out(f"{package} is not installed")


def need_program(name, package=None):
    """The path of a program, which a Debian package brings."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        left_out(f"{package or name} is not installed")
    return found
