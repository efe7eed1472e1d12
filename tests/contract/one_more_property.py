"""A copy of the provider whose networks have one more property, and what it does with it.

`python one_more_property.py NAME CIDR` is run over the copy. It prints what happened, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINES = """
    name_service: Annotated[
        bool | None,
        At("dns/@forwardPlainNames"),
        OwnBridge(),
        Changes(Effect.NETWORK_RESTART),
        Field(description="Whether names without a domain are asked for elsewhere."),
    ] = None
"""
"""All that adding a property to networks takes in the provider."""
BEFORE = "    autostart: Annotated["


def copied(folder: Path) -> Path:
    """A copy of the provider in which the model has these lines more."""
    shutil.copytree(ROOT / "provider" / "jvp", folder / "jvp", ignore=shutil.ignore_patterns("__pycache__"))
    model = folder / "jvp" / "resources" / "network" / "model.py"
    text = model.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    model.write_text(text.replace(BEFORE, f"{LINES.lstrip()}{BEFORE}".replace("name_service", "    name_service", 1)))
    return folder


def asked(folder: Path, *command: str) -> Any:
    """What Python prints over the copy, read as JSON."""
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main(name: str, cidr: str) -> dict[str, Any]:
    """A network's life with the property, and what is seen of it at each step."""
    import libvirt

    from jvp.core.errors import dotted
    from jvp.core.identity import Key
    from jvp.core.stored import Stored
    from jvp.core.work import Work
    from jvp.libvirt.link.xml import drop, parse, put, text_of, value
    from jvp.resources.provider import Provider
    from jvp.resources.registry import calls as registered

    calls, connection = registered(Provider()), libvirt.open("qemu:///system")
    seen: dict[str, Any] = {}

    def plan(stored: Stored, raw: dict[str, Any]) -> list[list[str]]:
        changes = calls.diff("Network", stored, calls.check("Network", raw).inputs).changes
        return [[dotted(one.path), one.kind, one.effect.words] for one in changes]

    def update(stored: Stored, raw: dict[str, Any]) -> Stored:
        return calls.update("Network", stored, calls.check("Network", raw).inputs, Work()).stored

    def read(stored: Stored) -> Stored:
        found = calls.read("Network", stored, Work())
        assert found is not None
        return found

    def xml() -> str | None:
        network = connection.networkLookupByName(name)
        return value(parse(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)), "dns/@forwardPlainNames")

    def edited(enable: str | None) -> None:
        network = connection.networkLookupByName(name)
        root = parse(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
        drop(root, "dns")
        put(root, "dns/@forwardPlainNames", enable)
        connection.networkDefineXML(text_of(root))

    bare = {"name": name, "cidr": cidr}
    raw = {**bare, "nameService": False}
    wrong = calls.check("Network", {"name": name, "mode": "bridge", "bridge": "br9", "nameService": True}).failures
    seen["refused"] = [[dotted(one.path), one.message] for one in wrong]
    inputs = calls.check("Network", raw).inputs
    stored = calls.create("Network", Key("", "network", name, name), inputs, Work()).stored
    try:
        seen["created"] = [xml(), stored.state["nameService"], plan(read(stored), raw)]
        edited("yes")
        seen["drifted"] = [read(stored).state["nameService"], plan(read(stored), raw)]
        stored = update(read(stored), raw)
        seen["mended"] = [xml(), plan(read(stored), raw)]
        imported = calls.import_("Network", name, Work())
        assert imported is not None
        seen["imported"] = [imported.inputs["nameService"], plan(imported, bare)]
        other = {**bare, "domain": "lab.example"}
        seen["unmanaged"] = [update(imported, other).state["nameService"], xml()]
        seen["taken out"] = plan(read(stored), bare)
        stored = update(read(stored), bare)
        seen["gone"] = [xml(), stored.state.get("nameService"), plan(read(stored), bare)]
    finally:
        calls.delete("Network", stored, Work())
    return seen


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
