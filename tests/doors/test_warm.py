"""A warm start is as if it were not there, and a plain one follows wherever anything is odd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terraform_rpc import environment
from tests.starting import gone
from warm_support import LIMIT_S, Start, launches, runtime, start, told, warmed

from jvp.warm import launcher, place
from jvp.warm.ask import ask

__all__ = ["runtime", "start"]


def test_a_warm_plugin_finds_what_a_plain_one_finds(start: Start, tmp_path: Path) -> None:
    odd = tmp_path / "a folder"
    odd.mkdir()

    def before() -> None:
        os.umask(0o027)
        os.nice(3)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    options = {"cwd": odd, "env": {**os.environ, "ODD": "a=b\nc", "EMPTY": ""}, "preexec_fn": before}
    plain = told(start("exit", "0", "ümläut", "", **options))
    before_them = warmed(start, **options).launches
    for _ in range(2):
        warm = told(start("exit", "0", "ümläut", "", **options))
        assert warm.pop("pid") != plain.get("pid")
        assert warm == {name: value for name, value in plain.items() if name != "pid"}
    assert launches() == before_them + 2


@pytest.mark.parametrize(("words", "code"), [(("exit", "0"), 0), (("exit", "7"), 7), (("raise",), 1)])
def test_the_exit_code_and_the_complaint_pass(start: Start, words: tuple[str, ...], code: int) -> None:
    warmed(start)
    process = start(*words)
    told(process)
    _, complaint = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code
    assert (b"RuntimeError: as told" in complaint) == (words == ("raise",))
    assert launches() == 1


def test_disks_are_accessed_as_the_launcher_does(start: Start) -> None:
    warmed(start)
    for words in (["-c", "3"], ["-c", "2", "-n", "7"], []):
        before = (
            (lambda words=words: os.system(f"ionice {' '.join(words)} -p {os.getpid()}") and None) if words else None
        )
        process = start("wait", preexec_fn=before)
        child = told(process)["pid"]
        asked = [subprocess.check_output(["ionice", "-p", str(pid)]) for pid in (process.pid, child)]
        assert child != process.pid
        assert asked[0] == asked[1]
        process.terminate()
        assert process.wait(LIMIT_S) == 42
    assert launches() == 3


def test_the_heap_of_a_warm_plugin_is_shared(start: Start) -> None:
    """The collector leaves alone what was there before the fork."""
    warmed(start)
    process = start("heap")
    told(process)
    assert told(process)["frozen"] > 1000
    assert process.wait(LIMIT_S) == 0


def test_a_signal_reaches_the_plugin(start: Start) -> None:
    warmed(start)
    process = start("wait")
    told(process)
    time.sleep(0.1)
    process.terminate()
    assert process.wait(LIMIT_S) == 42


def test_the_launcher_ends_as_the_plugin_was_ended(start: Start) -> None:
    warmed(start)
    process = start("wait")
    os.kill(told(process)["pid"], signal.SIGKILL)
    assert process.wait(LIMIT_S) == -signal.SIGKILL


def test_a_plugin_dies_with_its_launcher(start: Start) -> None:
    one = warmed(start)
    process = start("wait")
    child = told(process)["pid"]
    process.kill()
    gone(child)
    assert [found.pid for found in ask("status")] == [one.pid]


def test_launcher_and_plugin_die_with_the_warm_process(start: Start) -> None:
    one = warmed(start)
    process = start("wait")
    child = told(process)["pid"]
    os.kill(one.pid, signal.SIGKILL)
    assert process.wait(LIMIT_S) == 1
    gone(child)


def test_one_that_does_not_answer_is_passed_over(start: Start) -> None:
    one = warmed(start)
    os.kill(one.pid, signal.SIGSTOP)
    try:
        process = start("exit", "5")
        told(process)
        assert process.wait(LIMIT_S) == 5
    finally:
        os.kill(one.pid, signal.SIGCONT)
    out, _ = process.communicate()
    assert out == b"", "the plugin that came too late has printed"
    end = time.monotonic() + LIMIT_S
    while any(found.running for found in ask("status")):
        assert time.monotonic() < end, "the plugin that came too late stays"
        time.sleep(0.02)


def test_many_at_once_are_all_served(start: Start) -> None:
    warmed(start)
    processes = [start("exit", str(number)) for number in range(12)]
    for number, process in enumerate(processes):
        assert told(process)["arguments"] == ["exit", str(number)]
        assert process.wait(LIMIT_S) == number


def test_a_warm_process_holds_nothing_of_who_started_it(start: Start, tmp_path: Path) -> None:
    one = warmed(start, cwd=tmp_path)
    proc = Path(f"/proc/{one.pid}")
    assert (proc / "cwd").readlink() == Path("/")
    opened = [str(link.readlink()) for link in (proc / "fd").iterdir()]
    assert not [
        target for target in opened if target.startswith("/dev/pts") or ("pytest" in target and "run" not in target)
    ]
    assert [target for target in opened if target == "/dev/null"] == ["/dev/null"] * 3
    assert os.getsid(one.pid) != os.getsid(0)
    before = len(opened)
    assert start("exit", "0").wait(LIMIT_S) == 0
    end = time.monotonic() + LIMIT_S
    while len(list((proc / "fd").iterdir())) != before:
        assert time.monotonic() < end, "descriptors of a launch stay"
        time.sleep(0.02)


def test_it_ends_when_nobody_asks(start: Start, runtime: Path) -> None:
    one = warmed(start, env={**os.environ, "PYTHON_TOY_IDLE_S": "0.3"})
    gone(one.pid)
    assert list((runtime / "jvp-warm").iterdir()) == []


def test_stop_lets_what_runs_end(start: Start) -> None:
    one = warmed(start)
    process = start("wait")
    told(process)
    assert [(found.pid, found.running) for found in ask("stop")] == [(one.pid, 1)]
    assert list(ask("status")) == []
    process.terminate()
    assert process.wait(LIMIT_S) == 42
    gone(one.pid)


@pytest.mark.parametrize(
    "changed", [{"JVP_LOG": "/dev/null"}, {"LC_ALL": "C"}, {"TZ": "Asia/Tokyo"}, {"LIBVIRT_LOG_OUTPUTS": "1:stderr"}]
)
def test_what_is_read_at_import_has_a_process_of_its_own(start: Start, changed: dict[str, str]) -> None:
    one = warmed(start)
    process = start("exit", "0", env={**os.environ, **changed})
    told(process)
    assert process.wait(LIMIT_S) == 0
    assert {found.pid: found.launches for found in ask("status")}.get(one.pid) == 0


def test_another_installation_has_another_process(tmp_path: Path) -> None:
    package, packages = tmp_path / "jvp", tmp_path / "site-packages"
    package.mkdir()
    packages.mkdir()
    module = package / "a.py"
    module.write_text("1")

    def name(python: str = sys.executable) -> str:
        return place.name(str(package), python, str(packages))

    first = name()
    assert name() == first
    assert name("/usr/bin/python3") != first
    (packages / "other-1.0.dist-info").mkdir()
    second = name()
    assert second != first
    os.utime(module, (1, 1))
    assert name() != second


def test_what_a_process_may_is_in_the_name(start: Start) -> None:
    one = warmed(start)
    for preexec in (lambda: os.nice(5), lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN) and None):
        process = start("exit", "0", preexec_fn=preexec)
        told(process)
        assert process.wait(LIMIT_S) == 0
    assert {found.pid: found.launches for found in ask("status")}.get(one.pid) == 0


def test_where_no_process_can_be_forked_the_start_is_plain_and_others_live(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_TOY_FORKS", "1")
    warmed(start)
    first = start("wait")
    told(first)
    assert launches() == 1
    second = start("exit", "3")
    told(second)
    assert second.wait(LIMIT_S) == 3
    assert launches() == 1
    first.terminate()
    assert first.wait(LIMIT_S) == 42


def test_a_folder_that_others_can_enter_is_not_used(runtime: Path) -> None:
    folder = runtime / "jvp-warm"
    assert place.folder() == str(folder)
    folder.chmod(0o750)
    assert place.folder() is None
    folder.rmdir()
    folder.symlink_to(runtime)
    assert place.folder() is None


def test_no_runtime_folder_no_warm_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert place.folder() is None


@pytest.mark.parametrize(
    ("door", "arguments", "variables", "wanted"),
    [
        ("pulumi", ["127.0.0.1:1"], {}, True),
        ("pulumi", [], {}, False),
        ("pulumi", ["--version"], {}, False),
        ("terraform", [], {"TF_PLUGIN_MAGIC_COOKIE": "x"}, True),
        ("terraform", [], {}, False),
        ("terraform", ["--debug"], {"TF_PLUGIN_MAGIC_COOKIE": "x"}, False),
        ("pulumi", ["127.0.0.1:1"], {"JVP_WARM": "off"}, False),
        ("pulumi", ["127.0.0.1:1"], {"PYTHONPATH": "/x"}, False),
        ("pulumi", ["127.0.0.1:1"], {"LIBVIRT_DEFAULT_URI": "qemu+ssh://host/system"}, False),
    ],
)
def test_which_starts_are_warm(
    monkeypatch: pytest.MonkeyPatch, door: str, arguments: list[str], variables: dict[str, str], wanted: bool
) -> None:
    for name in ("JVP_WARM", "PYTHONPATH", "PYTHONHOME", "LIBVIRT_DEFAULT_URI", "TF_PLUGIN_MAGIC_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launcher.is_wanted(door, arguments) is wanted


def test_the_real_plugin_greets_as_it_does_plainly(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    command = [sys.executable, "-IS", launcher.SCRIPT, "terraform"]
    lines = []
    for number in range(2):
        process = subprocess.Popen(
            command, env={**os.environ, **environment()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        lines.append(process.stdout.readline().decode().split("|"))
        process.terminate()
        assert process.communicate(timeout=LIMIT_S)[1] == b""
        assert process.returncode == 0
        end = time.monotonic() + LIMIT_S
        while number == 0 and not list(ask("status")):
            assert time.monotonic() < end, "no warm process came"
            time.sleep(0.05)
    assert lines[0][:3] == lines[1][:3] == ["1", "6", "unix"]
    assert launches() == 1
    # gRPC and libvirt are first used after a fork: neither has a thread or a descriptor in the warm process.
    (one,) = ask("status")
    proc = Path(f"/proc/{one.pid}")
    assert [thread.name for thread in (proc / "task").iterdir()] == [str(one.pid)]
    opened = sorted(str(link.readlink()).partition(":")[0] for link in (proc / "fd").iterdir())
    lock = next((runtime / "jvp-warm").glob("*.lock"))
    assert opened == sorted([*["/dev/null"] * 3, str(lock), "pipe", "pipe", "socket"])
