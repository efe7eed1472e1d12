"""`jvp terraform install` and `uninstall`: what they write, beside whose files, and what the launcher says."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import jvp
from jvp.core.errors import Invalid
from jvp.doors.cli import terraformmirror
from jvp.doors.cli.main import main
from jvp.doors.terraform import plugin
from jvp.warm.launcher import SCRIPT

VERSION = f"jvp.internal/jvp/jvp/{jvp.__version__}"
PROGRAM = f"{VERSION}/linux_amd64/terraform-provider-jvp_v{jvp.__version__}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home of the test's own."""
    found = tmp_path / "a home"
    found.mkdir()
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "TF_CLI_CONFIG_FILE", "JVP_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(found))
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main(("terraform", *words))
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def start(launcher: Path, **env: str) -> tuple[int, str, str]:
    """Run the launcher as a person would, with these variables alone."""
    done = subprocess.run([launcher, "--version"], env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_command_names_what_the_door_has() -> None:
    assert terraformmirror.SOURCE == plugin.SOURCE
    assert plugin.__name__ == terraformmirror.MODULE


def test_install_writes_one_launcher_for_everybody_and_a_note_for_this_user(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = home / ".local" / "share" / "jvp"
    for _ in range(2):
        code, said, _ = run(capsys, "install")
        assert code == 0
        assert said.startswith(f"jvp {jvp.__version__} is in the mirror, at {data}/terraform/mirror/{VERSION}\n")
        assert f"these lines in {home}/.terraformrc (--write writes it):\n\nprovider_installation {{" in said
        assert f'path    = "{data}/terraform/mirror"' in said
    assert not (home / ".terraformrc").exists()
    texts = {path.read_text() for path in (data / "terraform" / "mirror").rglob("terraform-provider-*")}
    (text,) = texts
    assert len(list((data / "terraform" / "mirror").rglob("*_v*"))) == len(terraformmirror.PLATFORMS)
    assert not any(word in text for word in (str(home), sys.executable, sys.prefix, "/usr", "/tmp"))
    assert (data / "python").read_text() == f"{sys.executable}\n{SCRIPT}\n"
    path = os.environ.get("PYTHONPATH", "")
    launcher = data / "terraform" / "mirror" / PROGRAM
    assert start(launcher, HOME=str(home), PYTHONPATH=path) == (0, f"{jvp.__version__}\n", "")


def test_the_data_folder_is_the_users_and_the_mirror_may_be_another(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    code, said, _ = run(capsys, "install", "--mirror", str(home / 'team "one"'))
    assert code == 0
    assert f'path    = "{home}/team \\"one\\""' in said
    assert (home / 'team "one"' / PROGRAM).exists()
    assert [path.name for path in (home / "data" / "jvp").iterdir()] == ["python"]
    run(capsys, "uninstall", "--mirror", str(home / 'team "one"'))
    assert [path.name for path in home.rglob("*")] == ["data"]


def test_where_both_look_by_themselves_no_lines_are_needed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins = home / ".terraform.d" / "plugins"
    own = home / ".terraformrc"
    for words in ((), ("--write",)):
        code, said, _ = run(capsys, "install", "--mirror", str(plugins), *words)
        assert (code, said.splitlines()[1:]) == (0, ["tofu and terraform look there by themselves"])
        assert not own.exists()
    own.write_text("disable_checkpoint = true\n")
    assert "look there by themselves" in run(capsys, "install", "--mirror", str(plugins))[1]
    own.write_text("provider_installation {\n  direct {}\n}\n")
    assert f"these lines in {own}:" in run(capsys, "install", "--mirror", str(plugins))[1]


def test_write_makes_the_configuration_and_never_touches_one_that_is_there(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = home / ".terraformrc"
    assert f"tofu and terraform find it by {written}, which is new" in run(capsys, "install", "--write")[1]
    text = written.read_text()
    assert f"{written} names jvp.internal/jvp/jvp already" in run(capsys, "install", "--write")[1]
    assert written.read_text() == text
    written.unlink()
    own = home / ".tofurc"
    own.write_text("disable_checkpoint = true\n")
    said = run(capsys, "install", "--write")[1]
    assert f"these lines in {own}:\n\n{text.strip()}" in said
    assert own.read_text() == "disable_checkpoint = true\n"
    assert not written.exists()


def test_uninstall_takes_away_what_install_made_and_nothing_else(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "install", "--write")
    mirror = home / ".local" / "share" / "jvp" / "terraform" / "mirror"
    newer = mirror / "jvp.internal" / "jvp" / "jvp" / "9.9.9"
    newer.mkdir()
    assert run(capsys, "uninstall") == (0, f"removed {mirror / VERSION}", "")
    assert newer.is_dir()
    assert (home / ".local" / "share" / "jvp" / "python").exists()
    newer.rmdir()
    run(capsys, "install")
    assert run(capsys, "uninstall") == (0, f"removed {mirror / VERSION}\nremoved {home}/.terraformrc", "")
    assert [str(path.relative_to(home)) for path in sorted(home.rglob("*"))] == [".local", ".local/share"]
    assert run(capsys, "uninstall") == (0, f"jvp {jvp.__version__} was not in {mirror}", "")


def test_uninstall_leaves_what_others_put_beside_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "install", "--write")
    folder = home / ".local" / "share" / "jvp" / "terraform" / "mirror" / VERSION
    foreign = (folder / "darwin_arm64" / "terraform-provider-jvp", folder / "linux_amd64" / "notes")
    for file in foreign:
        file.write_text("theirs")
    said = f"removed jvp {jvp.__version__} from {folder}; what else is there stays"
    assert run(capsys, "uninstall") == (0, said, "")
    assert {path for path in folder.rglob("*") if path.is_file()} == set(foreign)
    assert (home / ".terraformrc").exists()
    assert run(capsys, "uninstall")[1].startswith(f"jvp {jvp.__version__} was not in ")


def test_lines_among_others_are_named_not_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "install", "--write")
    config = home / ".terraformrc"
    config.write_text("# mine\n" + config.read_text())
    assert run(capsys, "uninstall")[1].endswith(f"\nthe lines for jvp.internal/jvp/jvp in {config} can go")
    assert config.exists()


def test_the_configuration_that_a_variable_names_is_the_one(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = home / "ci" / "cli.tfrc"
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(named))
    assert f"find it by {named}, which is new" in run(capsys, "install", "--write")[1]
    assert not (home / ".terraformrc").exists()
    assert named.exists()


def test_a_provider_that_it_did_not_make_stays(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / PROGRAM
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"\x7fELF another")
    for verb in ("install", "uninstall"):
        code, _, said = run(capsys, verb, "--mirror", str(tmp_path))
        assert (code, said) == (1, f"jvp: {foreign} was not made by jvp; move it away and run again")
    assert foreign.read_bytes() == b"\x7fELF another"


def test_what_cannot_be_done_is_said_in_one_sentence(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jvp.internal").write_text("a file", encoding="utf-8")
    code, _, said = run(capsys, "install", "--mirror", str(tmp_path))
    assert (code, said) == (1, f"jvp: cannot write {tmp_path / PROGRAM}: not a directory")
    code, _, said = run(capsys, "install", "--mirror", "")
    assert (code, said) == (1, "jvp: the mirror must not be empty; leave the option out for the usual one")
    monkeypatch.setenv("HOME", "")
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert terraformmirror.data_folder() == own / ".local" / "share" / "jvp"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(Invalid, match="the user 2147483641 has no home folder; set HOME"):
        terraformmirror.data_folder()


def test_a_launcher_without_its_installation_says_so(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "install", "--mirror", str(tmp_path))
    launcher, note = tmp_path / PROGRAM, home / ".local" / "share" / "jvp" / "python"
    gone = f"{home}/it's gone/python"
    missing = (
        f"there is no {note} to say where jvp {jvp.__version__} is; run: jvp terraform install, or set JVP_PYTHON\n"
    )
    removed = (
        f"jvp {jvp.__version__} is not installed at {gone} any more; install it again and run: jvp terraform install\n"
    )
    assert start(launcher, HOME=str(home), JVP_PYTHON=gone) == (1, "", removed)
    note.write_text(gone)
    assert start(launcher, HOME=str(home)) == (1, "", removed)
    note.unlink()
    assert start(launcher, HOME=str(home)) == (1, "", missing)
    # A host shows what stands where it waits for the handshake: on standard output, from a process that is there.
    env = {"HOME": str(home), "TF_PLUGIN_MAGIC_COOKIE": "any", "PATH": os.environ["PATH"]}
    with subprocess.Popen([launcher], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == missing
        assert process.poll() is None
        process.kill()
