"""OpenTofu, or Terraform where that is the one that is there: the same rows through the other engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.setup import tofu

from bench.plugin import RUNS as STARTS
from bench.plugin import mib
from bench.table import Row, median, timed

SOURCE = "jvp.internal/jvp/jvp"
COOKIE = {"TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"}
RUNS = 3
FEW, MANY = 10, 100
AIMS = {"apply": 2.4, "plan": 1.3, "destroy": 2.0}
ENGINE_THERE = {"apply": 0.25, "plan": 0.24, "destroy": 0.20}
"""The aims were set beside an engine of that speed: what may be added to it moves with ours."""
OURS_S = 1.2
"""And what we may add where libvirt alone takes longer than the aim: a provider is started several times a command."""


class Module:
    """A root module in a folder of its own. `counted` writes a line for every process of the provider."""

    def __init__(self, folder: Path, program: Path, uri: str) -> None:
        self.folder, self.program = folder, program
        self.starts = folder / "starts"
        folder.mkdir()
        launcher = folder / "terraform-provider-jvp"
        launcher.write_text(
            f'#!/bin/sh\necho >> {self.starts}\nexec {sys.executable} -m jvp.doors.terraform.plugin "$@"\n'
        )
        launcher.chmod(0o755)
        (folder / "rc").write_text(f'provider_installation {{\n dev_overrides {{ "{SOURCE}" = "{folder}" }}\n}}\n')
        self.uri = uri
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TF_")},
            "TF_CLI_CONFIG_FILE": str(folder / "rc"),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
        }

    def declare(self, resources: dict[str, dict[str, Any]]) -> Module:
        """Resources by type and name."""
        document = {
            "terraform": {"required_providers": {"jvp": {"source": SOURCE}}},
            **(
                {"provider": {"jvp": {"uri": self.uri, "virt_type": "qemu"}}, "resource": resources}
                if resources
                else {}
            ),
        }
        (self.folder / "main.tf.json").write_text(json.dumps(document))
        return self

    def __call__(self, *words: str) -> float:
        """Seconds that a command takes."""
        begin = time.monotonic()
        done = subprocess.run(
            [self.program, *words, "-no-color"], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        took = time.monotonic() - begin
        assert done.returncode == 0, done.stdout + done.stderr
        return took

    def started(self) -> int:
        """How many processes of the provider were started since the last time."""
        count = len(self.starts.read_text().splitlines()) if self.starts.exists() else 0
        self.starts.unlink(missing_ok=True)
        return count


def missing() -> str | None:
    """Why nothing is measured here."""
    return None if program() else "no tofu and no terraform (make setup builds one)"


def program() -> Path | None:
    """OpenTofu, which the figures were measured with, or else Terraform."""
    path = f"{Path(__file__).resolve().parents[2] / '.tools/bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    found = {one.name: one for one in tofu.find(path)}
    return found.get("tofu") or found.get("terraform")


def start() -> tuple[float, float]:
    """Seconds to the handshake line, certificate and all; MiB a moment later, with the models loaded."""
    # The provider makes a certificate of its own where the host has one; it does not read the host's.
    environment = {**os.environ, **COOKIE, "PLUGIN_CLIENT_CERT": "a host's", "PLUGIN_PROTOCOL_VERSIONS": "6"}
    begin = time.monotonic()
    command = [sys.executable, "-m", "jvp.doors.terraform.plugin"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        printed = time.monotonic() - begin
        time.sleep(1)
        memory = mib(process.pid, "VmRSS")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    return printed, memory


def plugin_rows() -> Iterator[Row]:
    """Of the provider's process alone."""
    start()
    found = [start() for _ in range(STARTS)]
    imports = median(timed(lambda: subprocess.run([sys.executable, "-c", "import grpc"], check=True)) for _ in range(5))
    printed, memory = zip(*found, strict=True)
    yield Row("hcl: exec to handshake", median(printed) * 1000, "ms", 150, imports * 1000, "import grpc alone")
    yield Row("hcl: provider memory, start", median(memory), "MiB", 60)


def stack_rows(folder: Path, uri: str, pools: Path, floors: dict[str, float]) -> Iterator[Row]:
    """A network, a pool, a volume and a running guest."""
    found = program()
    assert found is not None
    stack, empty = Module(folder / "hcl-stack", found, uri), Module(folder / "hcl-empty", found, uri).declare({})
    spent: dict[str, list[float]] = {}
    starts: dict[str, int] = {}
    for _ in range(RUNS):
        stack.declare(_one(pools))
        for name, words in (
            ("apply", ("apply", "-auto-approve")),
            ("plan", ("plan",)),
            ("destroy", ("destroy", "-auto-approve")),
        ):
            spent.setdefault(f"engine {name}", []).append(empty(*words))
            spent.setdefault(name, []).append(stack(*words))
            starts[name] = stack.started()
    for name, aim in AIMS.items():
        engine, floor = median(spent[f"engine {name}"]), floors["preview" if name == "plan" else name]
        limit = max(aim * engine / ENGINE_THERE[name], engine + floor + OURS_S)
        note = f"{found.name} with nothing {engine:.2f} s, libvirt alone {floor:.2f} s, {starts[name]} processes"
        yield Row(f"hcl: one stack, {name}", median(spent[name]), "s", limit, engine + floor, note)


def volume_rows(folder: Path, uri: str, pools: Path, floors: tuple[float, float, float]) -> Iterator[Row]:
    """How the cost of one more volume grows."""
    spent: dict[int, list[float]] = {}
    for count in (FEW, MANY):
        volumes = {
            f"v{n}": {"name": f"v{n}", "pool": "${jvp_storage_pool.many.id}", "size": "16MiB", "format": "raw"}
            for n in range(count)
        }
        pool = {"many": {"name": "hcl-many", "path": str(pools / "hcl-many")}}
        spent[count] = _cycle(folder / f"hcl-volumes{count}", uri, {"jvp_storage_pool": pool, "jvp_volume": volumes})
    yield from _slopes("volume", spent, floors, (0.012, 0.008, 0.010))


def network_rows(folder: Path, uri: str, floors: tuple[float, float, float]) -> Iterator[Row]:
    """The same of networks, where libvirt itself takes long: the aim is what it takes, and the volumes' aim."""
    spent: dict[int, list[float]] = {}
    for count in (FEW, MANY):
        networks = {f"n{n}": {"name": f"hcl-n{n}", "cidr": f"10.198.{n}.0/24"} for n in range(count)}
        spent[count] = _cycle(folder / f"hcl-networks{count}", uri, {"jvp_network": networks})
    aims = tuple(floor + ours for floor, ours in zip(floors, (0.012, 0.008, 0.010), strict=True))
    yield from _slopes("network", spent, floors, aims)


def _cycle(folder: Path, uri: str, resources: dict[str, dict[str, Any]]) -> list[float]:
    """Seconds of an apply, of a plan with nothing to do, and of a destroy."""
    found = program()
    assert found is not None
    module = Module(folder, found, uri).declare(resources)
    create = module("apply", "-auto-approve", "-parallelism=16")
    plan = median(module("plan", "-parallelism=16") for _ in range(RUNS))
    return [create, plan, module("destroy", "-auto-approve", "-parallelism=16")]


def _slopes(
    what: str, spent: dict[int, list[float]], floors: tuple[float, ...], aims: tuple[float, ...]
) -> Iterator[Row]:
    for verb, floor, few, many, aim in zip(
        ("create", "plan", "destroy"), floors, spent[FEW], spent[MANY], aims, strict=True
    ):
        slope = (many - few) / (MANY - FEW) * 1000
        note = f"{FEW}: {few:.2f} s, {MANY}: {many:.2f} s"
        yield Row(f"hcl: each further {what}, {verb}", slope, "ms", aim * 1000, floor * 1000, "libvirt alone", note)


def _one(pools: Path) -> dict[str, Any]:
    pool = "${jvp_storage_pool.pool.id}"
    return {
        "jvp_network": {"net": {"name": "hcl-net", "cidr": "192.168.94.0/24"}},
        "jvp_storage_pool": {"pool": {"name": "hcl-pool", "path": str(pools / "hcl-one")}},
        "jvp_volume": {"data": {"name": "data", "pool": pool, "size": "16MiB"}},
        "jvp_instance": {
            "vm": {
                "name": "hcl-vm", "memory": "64MiB", "root_disk": {"pool": pool, "size": "16MiB"},
                "nics": [{"name": "eth0", "network": "${jvp_network.net.id}"}],
            }
        },
    }  # fmt: skip
