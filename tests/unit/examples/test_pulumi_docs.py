"""The code in the pages for Pulumi: what is Python runs under Pulumi's mocks, the rest is read and compared."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "pulumi"
EXAMPLES = ROOT / "docs" / "examples" / "pulumi"
SCHEMA = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))


class Node(pulumi.runtime.Mocks):
    """Answers as a node would, with whatever the schema has in the place of a function's result."""

    def __init__(self) -> None:
        self.made: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ in SCHEMA["resources"]:
            assert args.inputs.keys() <= SCHEMA["resources"][args.typ]["inputProperties"].keys()
        self.made[args.name] = args
        return f"id-of-{args.name}", {**args.inputs, "ipAddress": "10.0.0.9"}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        function = SCHEMA["functions"][args.token]
        assert args.args.keys() <= function["inputs"]["properties"].keys()
        empty: dict[str, Any] = {"array": [], "integer": 0, "string": "", "boolean": False}
        return {name: empty.get(one.get("type")) for name, one in function["outputs"]["properties"].items()}


@pytest.fixture
def node() -> Node:
    mocks = Node()
    pulumi.runtime.set_mocks(mocks, project="docs", stack="dev", preview=False)
    return mocks


def blocks(guide: str, language: str) -> list[tuple[str, str]]:
    """The code of a guide with the file's name that stands before it."""
    text = (DOCS / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(rf"(?:`([\w./]+)`[^`\n]*:\n\n)?```{language}\n(.*?)```\n", text, re.DOTALL)


def run(path: Path) -> None:
    @pulumi.runtime.test
    def program() -> None:
        runpy.run_path(str(path))

    program()


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_runs(node: Node, name: str) -> None:
    run(EXAMPLES / f"{name}.py")
    kinds = {one.typ.rpartition(":")[2] for one in node.made.values()}
    assert name in kinds or name in ("index", "provider") or name.startswith("get")


def test_every_resource_and_function_has_its_page() -> None:
    for kind in ("resources", "functions"):
        pages = {path.stem for path in (DOCS / kind).glob("*.md")}
        assert pages == {token.rpartition(":")[2].lower() for token in SCHEMA[kind]}
        for token, one in SCHEMA[kind].items():
            page = (DOCS / kind / f"{token.rpartition(':')[2].lower()}.md").read_text(encoding="utf-8")
            told = set(re.findall(r"^- `(\w+)` \(", page, re.MULTILINE))
            if kind == "resources":
                assert told >= one["inputProperties"].keys() | one["properties"].keys()
            else:
                assert told >= one["inputs"]["properties"].keys() | one["outputs"]["properties"].keys()


def test_the_links_between_the_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        anchors = {
            re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in re.findall(r"^#+ (.*)$", text, re.M)
        }
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            if not file:
                assert anchor in anchors, f"{page}: {target}"
            elif "://" not in file:
                assert (page.parent / file).exists(), f"{page}: {target}"


def _yaml_programs() -> list[str]:
    texts = [(EXAMPLES / "index.yaml").read_text(encoding="utf-8")]
    return texts + [text for _, text in blocks("own-project", "yaml") if "resources:" in text]


@pytest.mark.parametrize("text", _yaml_programs())
def test_a_program_in_yaml_says_what_the_schema_has(text: str) -> None:
    program = yaml.safe_load(text)
    assert program["runtime"] == "yaml"
    for one in program["resources"].values():
        resource = SCHEMA["resources"][one["type"].replace("jvp:", "jvp:index:")]
        given = one.get("properties", {})
        assert given.keys() <= resource["inputProperties"].keys()
        assert given.keys() >= set(resource["requiredInputs"])


@pytest.mark.parametrize("guide", ["own-project", "components"])
def test_a_program_of_a_guide_runs(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guide: str) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    # A module of the guide is gone with this test, also when it fails.
    monkeypatch.setitem(sys.modules, "guest", sys)
    monkeypatch.delitem(sys.modules, "guest")
    for name, text in blocks(guide, "python"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    run(tmp_path / "__main__.py")
    assert {"web", "lan", "pool"} <= node.made.keys()


def test_the_same_program_in_every_language(node: Node, tmp_path: Path) -> None:
    ((_, python),) = blocks("own-project", "python")
    ((_, typescript),) = blocks("own-project", "typescript")
    ((_, go),) = blocks("own-project", "go")
    for value in re.findall(r'"(/srv/[^"]+|10\.[^"]+|ssh-[^"]+)"', python):
        assert value in typescript
        assert value in go
    words = {word for one in SCHEMA["resources"].values() for word in one["inputProperties"]}
    words |= {word for one in SCHEMA["types"].values() for word in one.get("properties", ())}
    assert set(re.findall(r"\b(\w+): (?!new)", typescript)) <= words
    assert {word[0].lower() + word[1:] for word in re.findall(r"\b([A-Z]\w+): ", go)} <= words


def test_the_test_that_the_page_shows_passes(tmp_path: Path) -> None:
    for name, text in blocks("testing", "python"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "sdk" / "python")])},
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "text"), blocks("ci", "yaml"))
def test_the_lines_of_ci_are_ones_that_a_shell_reads(name: str, text: str) -> None:
    told = yaml.safe_load(text)
    if name.startswith(".github"):
        (job,) = told["jobs"].values()
        scripts = [step["run"] for step in job["steps"] if "run" in step]
    else:
        scripts = [*told["before_script"], *told["preview"]["script"], *told["up"]["script"]]
    assert len(scripts) >= 5
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", script], check=True)
    for option in set(re.findall(r"pulumi (?:preview|up) [^\n]*?(--[\w-]+)", text)):
        assert option in ("--stack", "--diff", "--yes", "--non-interactive")


def test_the_project_of_the_first_example_installs_from_the_checkout(tmp_path: Path) -> None:
    """`pulumi install` in a fresh checkout: the folder of the plugin is there before the environment is."""
    example = ROOT / "examples" / "01-first-instance"
    for folder in (example, example.parent / "02-without-plugin"):
        names = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
        assert names == ["pulumi>=3.220,<4", "../.."]
    assert 'name = "pulumi-jvp"' in (example / "../.." / "pyproject.toml").read_text(encoding="utf-8")
    shutil.copytree(example / "plugin", tmp_path / "plugin")
    made = tmp_path / "venv" / "bin" / "pulumi-resource-jvp"
    made.parent.mkdir(parents=True)
    made.write_text('#!/bin/sh\necho "plugin $@"\n', encoding="ascii")
    made.chmod(0o755)
    launcher = tmp_path / "plugin" / "pulumi-resource-jvp"
    assert subprocess.run([launcher, "7"], capture_output=True, text=True, check=True, cwd="/").stdout == "plugin 7\n"
