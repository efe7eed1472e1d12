"""The tests run in two lanes: what both say and report is there, and an end of one is an end of the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools import features, lanes

PATIENCE_S = 60.0
PASSES = "import pytest\ndef test_passes():\n    pass\ndef test_left():\n    pytest.skip('no such machine')\n"
FAILS = "def test_fails():\n    raise AssertionError('no')\n"
HANGS = """
import pathlib, time
def test_hangs():
    try:
        pathlib.Path(__file__).with_suffix(".begun").touch()
        time.sleep(600)
    finally:
        pathlib.Path(__file__).with_suffix(".tidied").touch()
"""
# What is under test must not be what a pytest around it has set up.
MAIN = """
import pathlib, sys
from tools import lanes
lanes.BUILD = pathlib.Path(sys.argv[1])
pytest = (sys.executable, "-m", "pytest", "-ra", "-c", "/dev/null", "-p", "no:cacheprovider")
lanes.LANES = tuple((*pytest, f"--rootdir={pathlib.Path(one).parent}", one) for one in sys.argv[2:])
sys.exit(lanes.main([]))
"""


def begun(folder: Path, *texts: str) -> subprocess.Popen[str]:
    """A run with a file of tests for each lane, in a process group of its own."""
    files = []
    for number, text in enumerate(texts, 1):
        path = folder / f"test_lane{number}.py"
        path.write_text(text)
        files.append(str(path))
    build = folder / "build"
    build.mkdir()
    (build / "tests.xml").write_text("of an earlier run")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {"COLUMNS": "300"}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, str(build), *files], cwd=lanes.ROOT, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def test_one_that_fails_fails_the_run_and_both_are_told(tmp_path: Path) -> None:
    process = begun(tmp_path, PASSES, FAILS)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    inner = [said.index(words) for words in ("no such machine", "1 passed, 1 skipped", "test_fails - ", "1 failed")]
    assert inner == sorted(inner)
    assert said.endswith("lane 1: ok\nlane 2: FAILED, exit code 1\n")
    ends = features.ended(tmp_path / "build" / "tests.xml")
    assert ends == {
        "test_lane1::test_passes": "yes", "test_lane1::test_left": "skipped", "test_lane2::test_fails": "FAILED"
    }  # fmt: skip


def test_ctrl_c_ends_both_which_tidy_up(tmp_path: Path) -> None:
    process = begun(tmp_path, HANGS, HANGS)
    end = time.monotonic() + PATIENCE_S
    while len(list(tmp_path.glob("*.begun"))) < 2:
        assert time.monotonic() < end, "the lanes do not begin"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, said
    assert len(re.findall(r"!+ KeyboardInterrupt !+", said)) == 2
    assert len(list(tmp_path.glob("*.tidied"))) == 2


TORN = "$(echo '<testsuites><testsuite>' > ${0#*=}; kill -9 $$)"


@pytest.mark.parametrize(("ends", "code"), [("0 0", 0), ("0 3", 3), ("$(kill -9 $$) 0", 247), (f"{TORN} 0", 247)])
def test_its_code_is_that_of_the_first_that_failed(tmp_path: Path, ends: str, code: int) -> None:
    """A lane that was killed has no report, or a part of one, and the run makes do without."""
    text = f"lanes.LANES = [('sh', '-c', f'exit {{end}}') for end in {ends.rsplit(' ', 1)}]"
    main = f"{MAIN.partition('pytest =')[0]}{text}\nsys.exit(lanes.main([]))"
    done = subprocess.run([sys.executable, "-c", main, str(tmp_path)], cwd=lanes.ROOT, stdout=subprocess.PIPE)
    assert (done.returncode, features.ended(tmp_path / "tests.xml")) == (code, {}), done.stdout


def test_each_folder_is_in_one_lane() -> None:
    first, second = (set(one[len(lanes.PYTEST) :]) for one in lanes.LANES)
    assert second == {f"--ignore={folder}" for folder in first}
    assert all((lanes.ROOT / folder).is_dir() for folder in first)
