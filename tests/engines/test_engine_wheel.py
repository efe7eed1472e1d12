"""What a user without this repository does: install the wheel, `jvp pulumi install`, `pulumi up`; then with tofu."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tofu_home
from engine_stack import ROOT, Stack
from tests.starting import Start, wait_for
from tofu_home import REQUIRED, TofuHome

import jvp

WHEELS = ROOT / "build" / "wheels"
"""The dependencies, kept between runs: libvirt-python is compiled once."""
PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
data = jvp.Volume("data", name=P + "data", pool=pool.id, size="1MiB")
pulumi.export("path", data.path)
"""


def run(*words: str | Path, env: dict[str, str] | None = None) -> str:
    """A command that must succeed; what it printed."""
    clean = {name: value for name, value in (env or os.environ).items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], env=clean, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes, of the files as they are."""
    if not (Path(sys.prefix) / "bin" / "pyproject-build").exists():
        pytest.skip("the package build is not installed: `make setup` installs it")
    work = tmp_path_factory.mktemp("dist")
    source = work / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "provider", "sdk"):
        there = ROOT / name
        copy = shutil.copytree if there.is_dir() else shutil.copyfile
        source.mkdir(exist_ok=True)
        copy(there, source / name)
    run(sys.executable, "-m", "build", "--outdir", work, source)
    return work


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but the wheel and what it needs."""
    venv = tmp_path_factory.mktemp("user") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    quiet = ("-q", "--no-input", "--disable-pip-version-check")
    limits: Sequence[str | Path] = ("-c", ROOT / "constraints.txt", "-c", ROOT / "build" / "libvirt-constraint.txt")
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python")
    for earlier in WHEELS.glob("pulumi_jvp-*"):
        earlier.unlink()  # it has the same version, and its needs may be others
    run(sys.executable, "-m", "pip", "wheel", *quiet, *limits, "-w", WHEELS, "--find-links", WHEELS, wheel)
    run(*pip, "install", *quiet, *limits, "--no-index", "--find-links", WHEELS, wheel)
    return venv


def test_the_wheel_holds_provider_and_sdk_both_typed_and_nothing_else(dist: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        scripts = archive.read(f"pulumi_jvp-{jvp.__version__}.dist-info/entry_points.txt").decode()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"jvp", "pulumi_jvp", f"pulumi_jvp-{jvp.__version__}.dist-info"}
    for package, folder in (("jvp", ROOT / "provider"), ("pulumi_jvp", ROOT / "sdk" / "python")):
        files = {
            str(path.relative_to(folder))
            for path in (folder / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".md", ".proto")
        }
        assert files - names == set(), f"the wheel lacks files of {package}"
        assert f"{package}/py.typed" in names
    assert "jvp = jvp.doors.cli.main:main\npulumi-resource-jvp = jvp.warm.launcher:pulumi" in scripts
    assert [path.name for path in dist.glob("*.tar.gz")] == [f"pulumi_jvp-{jvp.__version__}.tar.gz"]


def test_the_wheel_opens_an_index(wheel: Path, tmp_path: Path) -> None:
    """What brings a database to this version is in it, too."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "wheel")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "wheel")!r})
from jvp.index import store, tokens
index = store.Index({f"sqlite:///{tmp_path}/jvp.db"!r})
print(store.__file__, len(tokens.all_of(index)))
"""
    assert run(sys.executable, "-c", program) == f"{tmp_path}/wheel/jvp/index/store.py 0\n"


@pytest.mark.both_ways
def test_a_user_of_the_wheel_needs_no_line_in_the_project_and_no_active_environment(
    installed: Path, make_stack: Callable[[], Stack], tmp_path: Path, started: Start
) -> None:
    stack = make_stack()
    home = tmp_path / "home"
    home.mkdir()
    stack.options["virtualenv"] = str(installed)
    stack.env |= {
        "HOME": str(home),
        "PULUMI_HOME": str(home / ".pulumi"),
    }
    stack.env.pop("PYTHONPATH", None)
    stack.forget_plugin()
    stack("stack", "select", "dev")
    stack.write(PROGRAM)
    command = installed / "bin" / "jvp"

    assert run(command, "--version", env=stack.env) == f"jvp {jvp.__version__}\n"
    unable = stack.preview(ok=False)
    assert "no resource plugin 'pulumi-resource-jvp' found" in unable.text

    run(command, "pulumi", "install", env=stack.env)
    (listed,) = json.loads(stack("plugin", "ls", "--json").text)
    assert (listed["name"], listed["version"]) == ("jvp", jvp.__version__)
    stack.up()
    if started.is_warm:
        wait_for(str(installed / "bin" / "python"))
    assert Path(stack.outputs()["path"]).parent == Path(stack.names["FOLDER"])
    stack.settle()
    stack.destroy()
    assert stack.state() == {}

    run(command, "pulumi", "uninstall", env=stack.env)
    assert "no resource plugin 'pulumi-resource-jvp' found" in stack.preview(ok=False).text


@pytest.mark.both_ways
def test_tofu_finds_it_after_one_command_and_locks_the_same_on_every_machine(
    installed: Path, tmp_path: Path, daemon: Any, started: Start
) -> None:
    user = TofuHome(tmp_path / "user")
    user.install(installed / "bin" / "jvp")
    module = tmp_path / "module"
    module.mkdir()
    text = REQUIRED + 'data "jvp_node" "this" {}\noutput "host" {\n  value = data.jvp_node.this.hostname\n}\n'
    (module / "main.tf").write_text(text, encoding="utf-8")
    user.tofu(module, "init")
    user.tofu(module, "validate")
    if started.is_warm:
        wait_for(str(installed / "bin" / "python"))
    assert f'host = "{daemon.getHostname()}"' in user.tofu(module, "apply", "-auto-approve")
    started.assert_kept()

    # A colleague: another home, another environment, another checkout.
    colleague = TofuHome(tmp_path / "colleague's", python_path=os.environ.get("PYTHONPATH"))
    colleague.install()
    other = tmp_path / "other checkout"
    other.mkdir()
    for name in ("main.tf", ".terraform.lock.hcl"):
        shutil.copy(module / name, other)
    colleague.tofu(other, "init", "-lockfile=readonly")
    assert tofu_home.hashes(other) == tofu_home.hashes(module)

    user.env["JVP_PYTHON"] = str(tmp_path / "gone" / "python")
    said = " ".join(user.tofu(module, "plan", codes=(1,)).split())
    assert f"jvp {jvp.__version__} is not installed at {tmp_path}/gone/python any more; install it again" in said
