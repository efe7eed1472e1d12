"""Secrets: in no state file, display, log or error."""

from __future__ import annotations

import json
import re

from engine_stack import Stack

PASSWORD, USER_DATA = "correct-horse-battery", "#cloud-config\nwrite_files: [{content: staple-of-gold}]\n"
COMMANDS = {"run_commands": ["login staple-of-gold"], "network_config": "version: 2\n# staple-of-gold"}
CLEAR = ("correct-horse", "staple-of-gold", "less-than-enough")
PROGRAM = """
config = pulumi.Config()
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
def vm(label, **more):
    return jvp.Instance(
        label, name=P + label, memory="32MiB", virt_type="qemu", power_state="stopped",
        root_disk={"pool": pool.id, "size": "2MiB"}, **more,
    )
user = vm("user", cloud_init={"users": [{"name": "eve", "password": config.require_secret("password")}], **clear})
raw = vm("raw", cloud_init={"user_data": plain})
pulumi.export("password", config.require_secret("password"))
pulumi.export("cloudInit", user.cloud_init)
"""


def test_a_secret_is_nowhere_in_clear_text(stack: Stack) -> None:
    log, audit = stack.folder / "jvp.log", stack.folder / "audit"
    stack.env |= {"JVP_LOG": str(log), "JVP_AUDIT": str(audit)}
    stack("config", "set", "--secret", "password", PASSWORD)
    # A plain string where the model knows that it is a secret: it becomes one.
    stack.write(PROGRAM, plain=USER_DATA, clear=COMMANDS)
    stack.preview("--diff")
    stack.up("--diff")
    stack.settle()
    # A change, a failure and a refresh have other ways out than a create.
    stack("config", "set", "--secret", "password", "less-than-enough")
    changed = stack.preview("--diff", "--show-full-output", "--show-sames")
    assert set(changed.ops) == {"user"}
    stack.write(PROGRAM.replace('"name": "eve"', '"name": "Eve 1"'), plain=USER_DATA, clear=COMMANDS)
    refused = stack.up(ok=False)
    assert "cloudInit.users[0].name" in refused.text
    stack.write(PROGRAM, plain=USER_DATA + "# more\n", clear=COMMANDS)
    assert set(stack.up("--diff", "--debug").ops) == {"user", "raw"}
    stack.refresh("--diff")

    state = stack.state()
    assert state["user"]["inputs"]["cloudInit"]["users"][0]["password"].keys() >= {"ciphertext"}
    assert state["user"]["inputs"]["cloudInit"]["runCommands"].keys() >= {"ciphertext"}
    assert state["user"]["outputs"]["cloudInit"]["networkConfig"].keys() >= {"ciphertext"}
    assert state["raw"]["inputs"]["cloudInit"]["userData"].keys() >= {"ciphertext"}
    shown = [("the display of " + " ".join(run.words), run.text) for run in stack.runs if "set" not in run.words]
    written = [(str(path), text) for path, text in stack.every_file()]
    assert [path for path, _ in written if path.endswith("dev.json")], "the state was looked at"
    assert log.exists(), "the plugin's log was looked at"
    noted = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(one["verb"], one["kind"]) for one in noted if one["outcome"] == "done"] == [
        ("create", "StoragePool"), ("create", "Instance"), ("create", "Instance"), ("update", "Instance"),
        ("update", "Instance"),
    ]  # fmt: skip
    assert {(one["door"], one["program"]) for one in noted} == {("pulumi", f"{stack.name}/dev")}
    assert "cloudInit" in noted[-1]["changed"][0]
    for where, text in shown + written:
        for clear in CLEAR:
            assert clear not in text, f"{clear} in {where}"
    assert re.search(r"password\s*: *\"?\[secret\]", "".join(text for _, text in shown))


def test_a_secret_that_is_wrong_is_refused_without_being_shown(stack: Stack) -> None:
    stack("config", "set", "--secret", "cidr", "10.99.99.1/24 less-than-enough")
    stack.write("""jvp.Network("net", name=P + "net", cidr=pulumi.Config().require_secret("cidr"))""")
    refused = stack.preview(ok=False)
    assert "cidr" in refused.text
    assert "less-than-enough" not in refused.text
    assert "10.99.99" not in refused.text


def test_what_was_declared_secret_stays_secret_in_the_outputs(stack: Stack) -> None:
    stack.write("""
        pool = jvp.StoragePool("pool", name=pulumi.Output.secret(P + "pool"), path=FOLDER)
        pulumi.export("name", pool.name)
    """)
    stack.up()
    assert "ciphertext" in stack.state()["pool"]["outputs"]["name"]
    assert stack.outputs() == {"name": "[secret]"}
