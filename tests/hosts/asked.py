"""Runs inside of a node's namespaces: the provider's calls over one object after the other, as lines of JSON.

A line names what to do, and the answer has what an engine would be told. The states stay in this process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from jvp.core.errors import JvpError, dotted
from jvp.core.identity import Key
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.values import reveal
from jvp.core.work import Work
from jvp.resources.provider import Provider
from jvp.resources.registry import calls as registered

CALLS = registered(Provider(uri=sys.argv[1] if len(sys.argv) > 1 else "qemu:///system", virt_type="qemu"))
STATES: dict[str, Stored] = {}


def answer(do: str, token: str, name: str, raw: dict[str, Any]) -> dict[str, Any]:
    said: list[str] = []
    told: dict[str, Any] = {"warnings": said}
    work, key = Work(warn=said.append), Key("", token.lower(), name, name)
    inputs = CALLS.check(token, raw).inputs if raw else {}
    try:
        if do == "preview":
            CALLS.preview_create(token, inputs, work, Asked(lambda: key))
        elif do == "create":
            STATES[name] = CALLS.create(token, key, inputs, work).stored
        elif do in ("read", "plan", "update"):
            found = CALLS.read(token, STATES[name], work)
            if found is None:
                return {**told, "gone": True}
            STATES[name] = found
            if do != "read":
                plan = CALLS.diff(token, found, inputs, work)
                told["plan"] = {dotted(one.path): one.effect.words for one in plan.changes}
            if do == "plan":
                CALLS.preview_update(token, found, inputs, work)
            elif do == "update":
                STATES[name] = CALLS.update(token, found, inputs, work).stored
        elif do == "delete":
            CALLS.delete(token, STATES.pop(name), work)
        if name in STATES:
            told["state"] = reveal(STATES[name].state)
    except JvpError as error:
        told["error"] = str(error)
    return told


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
