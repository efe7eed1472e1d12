"""The doors without an engine as people and programs use them: a column of the parity table each.

Nobody keeps a state for them. A column keeps how it calls what it made, and does by itself what an engine does with a
plan: what would have to be made anew it is refused first, then it deletes it and makes the new one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import httpx
import uvicorn
import yaml
from tests.contract.columns import ENGINES, LISTS, SETTINGS, Bag, Kept, Refused, Told, said

from jvp.core.check import check
from jvp.core.model import fields
from jvp.doors.cli import exits, known
from jvp.doors.cli.main import main
from jvp.doors.rest.app import make_app
from jvp.doors.rest.caller import SocketProtocol
from jvp.doors.rest.names import plural
from jvp.doors.rest.operations import Operations
from jvp.resources import registry
from jvp.resources.provider import Provider

MADE_ANEW = "would have to be made anew"
_LIMIT_S = 60


class Plain:
    """What both have in common."""

    is_engine = False

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.provider = check(Provider, SETTINGS).sound().spec
        assert self.provider is not None
        self.objects = registry.objects(self.provider)

    def plan(self, token: str, label: str, raw: Bag) -> Told:
        try:
            return self._planned(token, label, raw)
        except Refused as error:
            return Told("refused", sentence=said(token, str(error)))

    def up(self, token: str, label: str, raw: Bag) -> Told:
        try:
            told = self._planned(token, label, raw)
            if told.action == "replace":
                with contextlib.suppress(Refused):
                    self._applied(token, label, raw)
                    raise AssertionError("a replacement is never done unasked")
                self._deleted(self.kept.pop(label))
            if told.action == "none" and self.kept[label].inputs != raw:
                return told  # an apply would note the other words; an engine keeps them to itself until it changes more
            reasons = self._applied(token, label, raw)
            self.kept[label].inputs = raw
        except Refused as error:
            return Told("refused", sentence=said(token, str(error)))
        if reasons:
            return Told("unfinished", told.changed, said(token, "; ".join(reasons)))
        return Told(told.action, told.changed)

    def destroy(self, label: str) -> Told:
        try:
            self._deleted(self.kept[label])
        except Refused as error:
            return Told("refused", sentence=said(self.kept[label].token, str(error)))
        del self.kept[label]
        return Told("gone")

    def import_(self, token: str, label: str, reference: str) -> Told:
        raise AssertionError("without an engine there is no import: what is there has its name")

    def _planned(self, token: str, label: str, raw: Bag) -> Told:
        raise NotImplementedError

    def _applied(self, token: str, label: str, raw: Bag) -> list[str]:
        """Why it is not finished; nothing when it is."""
        raise NotImplementedError

    def _deleted(self, have: Kept) -> None:
        raise NotImplementedError


def _first(path: str) -> str:
    """The property that a path begins with."""
    return re.split(r"[.\[]", path)[0]


class Rest(Plain):
    """A client of `jvp serve`, whose application runs in this process, on a unix socket."""

    name = "rest"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        assert self.provider is not None
        self._operations = Operations()
        app = make_app(self.objects, self.provider, self._operations)
        path = str(folder / "rest.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._server = uvicorn.Server(uvicorn.Config(app, http=SocketProtocol, ws="none", log_config=None))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://jvp/api", timeout=120)

    def outputs(self, label: str) -> Bag:
        found: Bag = self._asked("GET", self._path(self.kept[label])).json()
        return found

    def ask(self, function: str, args: Bag) -> Bag:
        found: Bag = self._asked("POST", f"functions/{function}", args, asks=True).json()
        if (token := LISTS.get(function)) is not None:
            query = {name: str(value).lower() if value in (True, False) else value for name, value in args.items()}
            query |= {name: ",".join(value) for name, value in args.items() if isinstance(value, list)}
            assert [self._asked("GET", plural(token), **query).json()["items"]] == list(found.values())
        return found

    def act(self, action: str, reference: str, args: Bag) -> Bag:
        declared = registry.ACTIONS[action]
        path = f"{self._path(Kept(declared.on, reference))}/actions/{declared.word}"
        found: Bag = self._asked("POST", path, args).json()
        return found

    def cancel(self) -> None:
        for one in self._asked("GET", "operations").json()["items"]:
            if one["state"] == "running":
                self._asked("DELETE", f"operations/{one['id']}")

    def close(self) -> None:
        self._client.close()
        self._server.should_exit = True
        self._thread.join(_LIMIT_S)
        self._operations.stop(_LIMIT_S)
        self._listener.close()

    def _planned(self, token: str, label: str, raw: Bag) -> Told:
        plan = self._sent(token, label, raw, plan="true").json()
        if plan["action"] == "create":
            outputs = set(fields(registry.TYPES[token].state)) - set(fields(registry.TYPES[token].spec))
            return Told("create", unknown=frozenset(one for one in outputs if plan["state"].get(one) is None))
        return Told(plan["action"], frozenset(_first(one["property"]) for one in plan["changes"]))

    def _applied(self, token: str, label: str, raw: Bag) -> list[str]:
        made = self._sent(token, label, raw).json()
        self.kept[label] = Kept(token, made["id"])
        return list(made.get("unfinished", ()))

    def _sent(self, token: str, label: str, raw: Bag, **query: str) -> httpx.Response:
        have = self.kept.get(label)
        if have is None:
            return self._asked("POST", plural(token), raw, **query)
        return self._asked("PUT", self._path(have), raw, **query)

    def _deleted(self, have: Kept) -> None:
        assert self._asked("DELETE", self._path(have)).status_code == 204

    @staticmethod
    def _path(have: Kept) -> str:
        return f"{plural(have.token)}/{quote(have.id, safe='')}"

    def _asked(self, method: str, path: str, body: Any = None, *, asks: bool = False, **query: str) -> httpx.Response:
        waits = method != "GET" and not asks and not path.startswith("operations")
        query |= {"wait": "2m"} if waits else {}
        answer = self._client.request(method, f"/{path}", json=body, params=query)
        if answer.status_code >= 400:
            raise Refused(_told(answer.json()))
        assert answer.status_code in (200, 201, 204) or path.startswith("operations"), answer.text
        return answer


def _told(problem: Bag) -> str:
    """A problem document as the sentence of a door that has lines alone."""
    if "errors" not in problem:
        return str(problem["detail"])
    return "; ".join(f"{_dotted(one['pointer'])}: {one['detail']}" for one in problem["errors"])


def _dotted(pointer: str) -> str:
    return re.sub(r"/(\d+)(?=/|$)", r"[\1]", pointer).replace("/", ".").lstrip(".")


class Cli(Plain):
    """`jvp` with a document for each object: in this process, but where it is to be interrupted."""

    name = "cli"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / "document.yaml"
        self._process: subprocess.Popen[str] | None = None

    def outputs(self, label: str) -> Bag:
        have = self.kept[label]
        found: Bag = json.loads(self._jvp(known.word_of(have.token), "show", have.id, "-o", "json")[1])
        return found

    def ask(self, function: str, args: Bag) -> Bag:
        """Of one object `show` tells more than its function does."""
        declared = registry.FUNCTIONS[function]
        if (token := LISTS.get(function)) is not None:
            assert args.get("details"), "a list for people and programs always has them"
            filters = {name: value for name, value in args.items() if name != "details"}
            found = json.loads(self._jvp(known.word_of(token), "list", *_options(filters), "-o", "json")[1])
            return dict.fromkeys(fields(declared.result), found)
        for token in registry.TYPES:
            words = {function: word for word, function in known.functions_of(token)} | {f"get{token}": "show"}
            if function in words:
                subject = known.subject_of(declared.args, token)
                more = _options({name: value for name, value in args.items() if name != subject})
                about = [args[subject]] if subject in args else []
                return self._answered(function, known.word_of(token), words[function], *about, *more)
        return self._answered(function, known.kebab(function.removeprefix("get")))

    def _answered(self, function: str, *words: str) -> Bag:
        found = json.loads(self._jvp(*words, "-o", "json")[1])
        return {name: found[name] for name in fields(registry.FUNCTIONS[function].result) if name in found}

    def act(self, action: str, reference: str, args: Bag) -> Bag:
        declared = registry.ACTIONS[action]
        place = [args["path"]] if declared.local else []
        given = {name: value for name, value in args.items() if name != "path" or not declared.local}
        words = known.word_of(declared.on), declared.word, reference, *place, *_options(given), "-o", "json"
        found: Bag = json.loads(self._jvp(*words)[1])
        return found

    def cancel(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        pass

    def _planned(self, token: str, label: str, raw: Bag) -> Told:
        words = self._renaming(token, label, raw)
        given = [*words, "--plan"] if words else ["plan", "-f", self._written(token, raw)]
        (plan,) = json.loads(self._jvp(*given, "-o", "json")[1])
        action = {"change": "update", "nothing": "none"}.get(plan["plan"], plan["plan"])
        return Told(action, frozenset(_first(one["path"]) for one in plan["changes"]))

    def _applied(self, token: str, label: str, raw: Bag) -> list[str]:
        words = self._renaming(token, label, raw) or ["apply", "-f", self._written(token, raw)]
        code, _, complaints = self._jvp(*words)
        self.kept[label] = Kept(
            token, f"{raw[within]}/{raw['name']}" if (within := registry.TYPES[token].within) else raw["name"]
        )
        return complaints if code == exits.PARTIAL else []

    def _renaming(self, token: str, label: str, raw: Bag) -> list[str]:
        """The command that gives another name: a document is always about the object of its name."""
        have = self.kept.get(label)
        if have is None or have.id.rpartition("/")[2] == raw["name"]:
            return []
        return [known.word_of(token), "set", have.id, "--name", raw["name"]]

    def _deleted(self, have: Kept) -> None:
        self._jvp(known.word_of(have.token), "delete", have.id, allowed=exits.NOT_FOUND)

    def _written(self, token: str, raw: Bag) -> str:
        properties = {name: value for name, value in raw.items() if name != "name"}
        self._file.write_text(yaml.safe_dump({"kind": token, "name": raw["name"], "properties": properties}))
        return str(self._file)

    def _jvp(self, *words: str, allowed: int = exits.DONE) -> tuple[int, str, list[str]]:
        """The exit code, what it printed, and what it complained of. Raises Refused."""
        here = threading.current_thread() is threading.main_thread()  # else no signal would reach it
        code, out, err = self._called(words) if here else self._started(words)
        complaints = [self._plain(line) for line in err.splitlines() if line.startswith("jvp: ")]
        if code not in (exits.DONE, exits.PARTIAL, allowed):
            assert complaints, (words, code, out, err)
            raise Refused("; ".join(complaints))
        return code, out, complaints

    def _called(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(registry, "objects", return_value=self.objects),
            mock.patch.dict(os.environ, {"JVP_VIRT_TYPE": SETTINGS["virtType"]}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(words)
        return code, out.getvalue(), err.getvalue()

    def _started(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("jvp"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "JVP_VIRT_TYPE": SETTINGS["virtType"]}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        out, err = self._process.communicate(timeout=2 * _LIMIT_S)
        return self._process.returncode, out, err

    def _plain(self, line: str) -> str:
        """A complaint without which document it is about."""
        return re.sub(rf'^jvp: ({re.escape(str(self._file))}, document 1, [a-z ]+ "[^"]*": )?', "", line)


def _options(args: Bag) -> list[str]:
    """Arguments as the command line takes them."""
    words = []
    for name, value in args.items():
        word = known.kebab(name)
        if isinstance(value, bool):
            words.append(f"--{word}" if value else f"--no-{word}")
        else:
            words += [f"--{word}={one}" for one in (value if isinstance(value, list) else [value])]
    return words


COLUMNS = (*ENGINES, Rest, Cli)
