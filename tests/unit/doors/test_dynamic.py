"""The dynamic form without an engine: its classes, what they register, and the verbs that need no node."""

from __future__ import annotations

import base64
import inspect
import pickle
import re
import subprocess
import sys
import threading
from typing import Any

import pulumi
import pulumi_jvp
import pytest
from pulumi.output import Unknown
from pulumi.runtime import rpc

from jvp import dynamic
from jvp.core.errors import Invalid
from jvp.core.values import UNKNOWN, Secret
from jvp.doors.dynamic.functions import FUNCTIONS
from jvp.doors.dynamic.reference import Provider, pickled
from jvp.doors.dynamic.resources import CLASSES
from jvp.doors.dynamic.values import decode, encode, public
from jvp.doors.dynamic.verbs import Verbs
from jvp.doors.pulumi.urns import Urn
from jvp.resources import registry

PROJECT = "shop"
SIGNED = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


class Node(pulumi.runtime.Mocks):
    """Keeps what was registered."""

    def __init__(self) -> None:
        self.made: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made[args.name] = args
        return f"id-of-{args.name}", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program asks {args.token}")


@pytest.fixture
def node() -> Node:
    mocks = Node()
    pulumi.runtime.set_mocks(mocks, project=PROJECT, stack="dev", preview=False)
    return mocks


def run(build: Any) -> None:
    """Run a program that makes resources."""

    @pulumi.runtime.test
    def program() -> Any:
        return build()

    program()


# The classes


def test_there_is_a_class_for_every_resource_that_is_registered() -> None:
    assert sorted(dynamic.__all__) == sorted([*CLASSES, *FUNCTIONS])
    assert sorted(CLASSES) == sorted(registry.RESOURCES)
    for name, made in CLASSES.items():
        assert getattr(dynamic, name) is made
        assert issubclass(made, getattr(pulumi_jvp, name))


def test_a_program_registers_what_the_sdk_would_and_who_it_is(node: Node) -> None:
    def build() -> Any:
        return dynamic.Instance(
            "web", memory="1GiB", root_disk={"size": pulumi.Output.secret("8GiB")}, max_memory="2GiB",
            nics=[pulumi_jvp.InstanceNicArgs(name="a")],
        ).nics[0].name  # fmt: skip

    run(build)
    made = node.made["web"]
    assert made.typ == "pulumi-python:dynamic/jvp:Instance"
    given = public(made.inputs)
    assert given["maxMemory"] == "2GiB"
    assert given["nics"] == [{"name": "a"}]
    assert made.inputs["__provider"] == pickled("Instance")
    assert made.inputs["__resource"]["secrets"] == ["root_disk"]


def test_the_key_is_the_one_that_the_plugin_takes_from_the_urn(node: Node) -> None:
    class Group(pulumi.ComponentResource):
        def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
            super().__init__("my:mod:Group", name, {}, opts)

    urns: list[str] = []

    def build() -> Any:
        outer = Group("outer")
        parents = {
            "alone": None,
            "in::component": outer,
            "deep": Group("inner", pulumi.ResourceOptions(parent=outer)),
            "under-ours": dynamic.StoragePool("pool"),
        }
        made = [dynamic.Network(name, opts=pulumi.ResourceOptions(parent=one)) for name, one in parents.items()]
        return pulumi.Output.all(*(one.urn for one in made)).apply(urns.extend)

    run(build)
    names = ("alone", "in::component", "deep", "under-ours")
    for name, urn in zip(names, urns, strict=True):
        who = node.made[name].inputs["__resource"]
        of_plugin = Urn.parse(as_engines(urn).replace("pulumi-python:dynamic/jvp:", "jvp:index:"))
        assert (as_engines(who["address"]), who["name"]) == (of_plugin.address, of_plugin.name), name


def as_engines(urn: str) -> str:
    """Pulumi's mocks count the stack among the parents and know one more parent alone; its engine has it right."""
    group = "my:mod:Group"
    if urn.endswith("::deep"):
        urn = urn.replace(f"{group}${group}", group).replace(group, f"{group}${group}")
    return urn.replace("pulumi:pulumi:Stack$", "").replace("::pulumi:pulumi:Stack::", "::::")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"import_": "lan"}, "the dynamic form cannot import what exists"),
        ({"id": "lan"}, "the dynamic form cannot import what exists"),
        ({"provider": "jvp"}, "the dynamic form takes no explicit provider"),
        ({"providers": "jvp"}, "the dynamic form takes no explicit provider"),
        ({"parent": "jvp"}, "the dynamic form takes no explicit provider"),
    ],
)
def test_what_it_cannot_do_is_refused_where_it_is_written(node: Node, options: Any, sentence: str) -> None:
    def build() -> Any:
        other = pulumi_jvp.Provider("other")
        values = {
            "provider": other,
            "providers": [other],
            "parent": pulumi.ComponentResource("my:mod:G", "g", {}, pulumi.ResourceOptions(providers=[other])),
        }
        given = {name: values[name] if value == "jvp" else value for name, value in options.items()}
        with pytest.raises(ValueError, match=sentence):
            dynamic.Network("lan", opts=pulumi.ResourceOptions(**given))
        return other.urn

    run(build)


def test_a_look_up_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="the dynamic form cannot look up a Network"):
        dynamic.Network.get("lan", "id")


# What is kept


def test_what_only_the_plugin_has_is_said_to_be_there() -> None:
    with pytest.raises(AttributeError, match=r"Provider is not in jvp\.dynamic, which has the resources and functions"):
        dynamic.Provider  # type: ignore[attr-defined]  # noqa: B018


# The functions


def test_there_are_both_forms_of_every_function_that_is_registered() -> None:
    names = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", token).lower() for token in registry.FUNCTIONS}
    assert FUNCTIONS.keys() == names | {f"{name}_output" for name in names}
    for name, ask in FUNCTIONS.items():
        assert getattr(dynamic, name) is ask
        assert inspect.signature(ask) == inspect.signature(getattr(pulumi_jvp, name))


def test_a_wrong_argument_and_an_explicit_provider_are_refused() -> None:
    with pytest.raises(Invalid, match="state: must be one of"):
        dynamic.get_instances(state="walking")
    with pytest.raises(TypeError):
        dynamic.get_instances(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="the dynamic form takes no explicit provider"):
        dynamic.get_node(opts=pulumi.InvokeOptions(provider=object()))  # type: ignore[arg-type]


def test_what_is_pickled_is_a_reference_and_always_the_same() -> None:
    data = base64.b64decode(pickled("Network"))
    assert pickled("Network") == pickled("Network")
    made = pickle.loads(data)
    assert (type(made), made.token) == (Provider, "Network")
    assert b"jvp.doors.dynamic.reference" in data
    assert len(data) < 100


def test_a_program_loads_neither_the_models_nor_libvirt() -> None:
    script = (
        "import sys; import jvp.dynamic; print({'libvirt', 'lxml', 'jvp.resources', 'jvp.core'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_values_come_and_go() -> None:
    came = {"a": 2.0, "b": [Unknown(), 1.5], "c": {"d": True}, "e": {**SIGNED, "value": "x"}, "__provider": "p"}
    bag = decode(came)
    assert bag == {"a": 2, "b": [UNKNOWN, 1.5], "c": {"d": True}, "e": Secret("x"), "__provider": "p"}
    assert isinstance(bag["a"], int)
    assert encode(public(bag)) == {"a": 2, "b": [rpc.UNKNOWN, 1.5], "c": {"d": True}, "e": {**SIGNED, "value": "x"}}
    with pytest.raises(Invalid, match=r"a\[0\]: takes no asset or archive"):
        decode({"a": [pulumi.StringAsset("x")]})


# The verbs


def verbs(token: str, **settings: str) -> Verbs:
    """With the settings as the stack has them; the daemon is never asked."""
    known = {f"jvp:{name}": value for name, value in {"uri": "qemu+unix:///system?socket=/nowhere", **settings}.items()}
    return Verbs(token, known.get, threading.Event())


def who(*secrets: str) -> dict[str, Any]:
    return {"address": "urn:pulumi:dev::shop::::x", "name": "x", "secrets": list(secrets)}


def test_a_check_hides_what_is_secret_and_fills_in_nothing() -> None:
    news = {"memory": "1GiB", "rootDisk": {"pool": "p", "size": "1GiB"}, "cloudInit": {"userData": "#cloud-config\n"}}
    checked = verbs("Instance").check({**news, "__resource": who("memory"), "__provider": "p"})
    assert [failure.reason for failure in checked.failures] == []
    assert "powerState" not in checked.inputs
    assert checked.inputs["memory"] == {**SIGNED, "value": "1GiB"}
    assert checked.inputs["cloudInit"]["userData"] == {**SIGNED, "value": "#cloud-config\n"}
    assert checked.inputs["__resource"] == who("memory")
    unknown = verbs("Volume").check({"size": Unknown(), "pool": "p", "__resource": Unknown()})
    assert (unknown.failures, unknown.inputs["size"]) == ([], rpc.UNKNOWN)


@pytest.mark.parametrize(
    ("props", "secrets", "at", "reason"),
    [
        ({"size": "20", "pool": "p"}, (), "size", '"20" is not a size'),
        ({"size": "20", "pool": "p"}, ("size",), "", "size: "),
        ({"size": "2\n0", "pool": "p"}, (), "", r'size: "2\n0" is not a size'),
        ({"size": "1GiB", "pool": "p", "nmae": "x"}, (), "nmae", 'did you mean "name"?'),
        ({"size": pulumi.StringAsset("x"), "pool": "p"}, (), "", "size: takes no asset"),
        ({"pool": "p", "name": "secret-password/.."}, ("name",), "", "name: "),
    ],
)
def test_wrong_input_is_a_failure_and_shows_no_secret(
    props: dict[str, Any], secrets: tuple[str, ...], at: str, reason: str
) -> None:
    failures = verbs("Volume").check({**props, "__resource": who(*secrets)}).failures
    found = {one.property: one.reason for one in failures}
    assert reason in found[at]
    assert "secret-password" not in str(found)


def test_the_stacks_settings_are_checked_with_the_first_resource() -> None:
    (failure,) = verbs("Volume", virtType="fast", timeouts='{"create": "1m"}').check({"__resource": who()}).failures
    assert failure.reason.startswith("the stack's settings of jvp are wrong: virtType: must be one of")
    (failure,) = verbs("Volume", timeouts='{"create": "soon"}').check({"__resource": who()}).failures
    assert "timeouts.create" in failure.reason
    with pytest.raises(Invalid, match="the stack's settings of jvp are wrong"):
        verbs("Volume", virtType="fast").delete("id", {"__resource": who(), "__inputs": {}, "__jvp": {}})


def test_a_diff_needs_no_node_and_compares_by_meaning() -> None:
    inputs = {"size": "1GiB", "pool": "p", "format": "qcow2", "name": "n"}
    olds = {
        **inputs,
        "fullClone": False,
        "detachOnDelete": True,
        "sizeBytes": 2.0**30,
        "__inputs": inputs,
        "__jvp": {"schema": 1.0},
        "__resource": who(),
    }

    def diff(**changed: Any) -> tuple[bool | None, list[str] | None, bool | None]:
        found = verbs("Volume").diff("id", olds, {**inputs, **changed, "__resource": who("size")})
        return found.changes, found.replaces, found.delete_before_replace

    assert diff() == diff(size="1024MiB") == (False, [], False)
    assert diff(size="2GiB") == (True, [], False)
    assert diff(format="raw") == (True, ["format"], True)
    assert diff(name=Unknown()) == (True, ["name"], True)
