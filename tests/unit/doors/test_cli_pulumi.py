"""`jvp pulumi install` and `uninstall`: what they write, again, beside foreign files, and what they say."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import jvp
from jvp.core.errors import Invalid
from jvp.doors.cli import plugincache
from jvp.doors.cli.main import main

PROGRAM = f"plugins/resource-jvp-v{jvp.__version__}/pulumi-resource-jvp"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main(words)
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jvp {jvp.__version__}\n"


@pytest.mark.parametrize("words", [(), ("pulumi",), ("pulumi", "instal"), ("pulumi", "install", "now")])
def test_a_command_that_does_not_exist_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: jvp" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pulumi",), "Show the provider to the Pulumi CLI, or hide it again."),
        (("pulumi", "uninstall"), "Take it out of Pulumi's plugin cache."),
        (("terraform",), "Show the provider to OpenTofu and Terraform, or hide it again."),
    ],
)
def test_a_command_says_what_it_does(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert said in capsys.readouterr().out


def test_install_writes_a_launcher_that_starts_this_very_plugin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "a home"
    (home / "plugins").mkdir(parents=True)
    unfinished = home / "plugins" / f"resource-jvp-v{jvp.__version__}.partial"
    unfinished.touch()
    for _ in range(2):
        code, said, _ = run(capsys, "pulumi", "install", "--pulumi-home", str(home))
        assert (code, said) == (0, f"pulumi finds jvp {jvp.__version__} at {home / PROGRAM}")
    assert not unfinished.exists()
    assert [path.name for path in (home / PROGRAM).parent.iterdir()] == ["pulumi-resource-jvp"]
    # A module of the program's own, named like one of ours, is not taken for it.
    (tmp_path / "jvp.py").write_text("raise SystemExit('the wrong one')", encoding="utf-8")
    done = subprocess.run(
        [home / PROGRAM, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{jvp.__version__}\n", "")


def test_uninstall_takes_away_what_install_made_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["pulumi", "install", "--pulumi-home", str(tmp_path)])
    there = (tmp_path / PROGRAM).parent
    there.with_name(there.name + ".lastused").touch()
    other = tmp_path / "plugins" / "resource-random-v4.0.0"
    other.mkdir()
    capsys.readouterr()
    assert run(capsys, "pulumi", "uninstall", "--pulumi-home", str(tmp_path))[:2] == (0, f"removed {there}")
    assert list((tmp_path / "plugins").iterdir()) == [other]
    again = run(capsys, "pulumi", "uninstall", "--pulumi-home", str(tmp_path))
    assert again == (0, f"jvp {jvp.__version__} was not in {tmp_path / 'plugins'}", "")


def test_a_plugin_that_it_did_not_make_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / PROGRAM
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"\x7fELF another")
    for verb in ("install", "uninstall"):
        code, _, said = run(capsys, "pulumi", verb, "--pulumi-home", str(tmp_path))
        assert code == 1
        assert said == (
            f"jvp: {foreign} was not made by jvp; remove it with: "
            f"pulumi plugin rm resource jvp {jvp.__version__}, and run again"
        )
    assert foreign.read_bytes() == b"\x7fELF another"


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plugins").write_text("a file", encoding="utf-8")
    code, _, said = run(capsys, "pulumi", "install", "--pulumi-home", str(tmp_path))
    assert (code, said) == (1, f"jvp: cannot write {tmp_path / PROGRAM}: not a directory")
    code, _, said = run(capsys, "pulumi", "install", "--pulumi-home", "")
    assert (code, said) == (1, "jvp: Pulumi's home must not be empty; leave the option out for the usual one")


def test_pulumis_home_is_found_as_the_engine_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = Path(pwd.getpwuid(os.getuid()).pw_dir, ".pulumi")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("PULUMI_HOME", "/srv/pulumi")
    assert plugincache.home(None) == Path("/srv/pulumi")
    monkeypatch.chdir(tmp_path)
    assert plugincache.home("other") == tmp_path / "other"
    monkeypatch.setenv("PULUMI_HOME", "")
    assert plugincache.home(None) == own
    monkeypatch.delenv("PULUMI_HOME")
    assert plugincache.home(None) == own
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(Invalid, match="the user 2147483641 has no home folder; set PULUMI_HOME or give --pulumi-home"):
        plugincache.home(None)


def test_a_launcher_whose_installation_is_gone_says_so(tmp_path: Path) -> None:
    text = plugincache.launcher(tmp_path / "it's gone" / "bin" / "python")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"jvp {jvp.__version__} is not installed at {tmp_path}/it's gone/bin/python any more; "
        "install it again and run: jvp pulumi install\n"
    )


def test_the_command_line_starts_without_the_models() -> None:
    """It must be there in a moment; libvirt and the models are loaded by what needs them."""
    script = (
        "import sys; import jvp.doors.cli.main; "
        "print({'pydantic', 'libvirt', 'grpc', 'lxml', 'pulumi'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
