"""What `cmake --install` leaves on the machine: a unit that names the binary where it was put, and that systemd takes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.clock import patient
from support.proxy import binary

BUILD = Path(binary()).resolve().parent.parent


def directives(unit, name):
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.fixture(scope="module", params=["prefix", "DESTDIR"])
def installed(request, tmp_path_factory):
    """(the unit, where the files lie, what the machine will call that folder)"""
    if not (BUILD / "cmake_install.cmake").exists() or not shutil.which("cmake"):
        pytest.skip("the binary does not lie in its build folder")
    root = tmp_path_factory.mktemp("installed")
    staged = request.param == "DESTDIR"
    prefix = Path("/opt/nearhop") if staged else root / "opt"
    done = subprocess.run(
        ["cmake", "--install", BUILD, "--prefix", prefix],
        env={**os.environ, **({"DESTDIR": str(root)} if staged else {})},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    folder = root / "opt/nearhop" if staged else prefix
    return folder / "lib/systemd/system/nearhop.service", folder, prefix


def test_the_unit_names_the_installed_binary_by_its_path(installed):
    unit, folder, prefix = installed
    assert os.access(folder / "bin/nearhop", os.X_OK)
    for name in ("ExecStart", "ExecStartPre"):
        (command,) = directives(unit, name)
        assert command.split()[0] == str(prefix / "bin/nearhop")
    for line in unit.read_text().splitlines():
        if line.startswith("Exec"):
            assert line.partition("=")[2].startswith("/"), line
    assert "@" not in "".join(directives(unit, "ExecStart"))


def test_the_unit_and_the_process_agree_on_how_long_a_stop_takes(installed):
    """systemd must not kill what still drains: shutdown.grace and shutdown.drain are 30 s each unless configured."""
    (limit,) = directives(installed[0], "TimeoutStopSec")
    assert int(limit.removesuffix("s")) > 60


def test_systemd_takes_the_unit(installed):
    unit, folder, prefix = installed
    if folder != prefix or not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd, and the binary at its path")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=patient(60)
    )
    about_it = [line for line in done.stderr.splitlines() if "nearhop" in line]
    assert done.returncode == 0 and not about_it, done.stderr
