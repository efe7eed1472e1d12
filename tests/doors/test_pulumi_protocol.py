"""The Pulumi protocol beside the verbs: greeting, settings, schema, what we do not have."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from gadget import Host
from pulumi_rpc import Client, Engine, refusal

import jvp
from jvp.core.values import UNKNOWN
from jvp.doors.pulumi.protocol import DIFF_NONE, DIFF_SOME
from jvp.doors.pulumi.server import Service
from jvp.doors.pulumi.wire import SECRET, SIGNATURE


def test_handshake_says_what_is_true(fresh: Client, service: Service) -> None:
    reply = fresh("Handshake", engine_address="127.0.0.1:1", supports_refresh_before_update=True)
    assert reply.accept_secrets
    assert reply.supports_autonaming_configuration
    assert not reply.accept_resources
    assert (service.session.engine, service.session.refreshes) == ("127.0.0.1:1", True)


def test_attach_changes_the_engine_and_keeps_what_the_handshake_said(fresh: Client, service: Service) -> None:
    fresh("Handshake", engine_address="127.0.0.1:1", supports_refresh_before_update=True)
    fresh("Attach", address="127.0.0.1:2")
    assert (service.session.engine, service.session.refreshes) == ("127.0.0.1:2", True)


def test_plugin_info_has_the_version(fresh: Client) -> None:
    assert fresh("GetPluginInfo").version == jvp.__version__


def test_what_engines_ask_first_needs_no_models(host: Host) -> None:
    def never(_session: Any) -> Any:
        raise AssertionError("loaded")

    service = Service(never)
    for name in ("Handshake", "Attach", "GetPluginInfo", "Cancel", "GetMapping", "GetMappings"):
        assert service.method(name) == getattr(service, name)


def test_a_toy_resource_is_in_the_schema_with_no_other_change(fresh: Client) -> None:
    schema = json.loads(fresh("GetSchema").schema)
    assert "jvp:index:Gadget" in schema["resources"]
    assert "jvp:index:getGadget" in schema["functions"]
    assert "schema of version 7" in refusal(lambda: fresh("GetSchema", version=7))[1]


@pytest.mark.parametrize("method", ["Construct", "Call"])
def test_what_we_do_not_have_is_unimplemented(fresh: Client, method: str) -> None:
    code, text = refusal(lambda: fresh(method))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "provider" in text


def test_parameters_are_refused(fresh: Client) -> None:
    code, text = refusal(lambda: fresh("Parameterize", args={"args": ["x"]}))
    assert (code, "no parameters" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_there_are_no_mappings(fresh: Client) -> None:
    assert fresh("GetMapping", key="terraform").data == b""
    assert list(fresh("GetMappings", key="terraform").providers) == []


def test_nothing_works_before_configure(fresh: Client) -> None:
    code, text = refusal(lambda: fresh("Check", news={}))
    assert (code, text) == (grpc.StatusCode.FAILED_PRECONDITION, "the provider is not configured yet")


def test_settings_come_back_as_they_came(fresh: Client) -> None:
    news = {"uri": "qemu:///system", "version": "1.2.3", "timeouts": '{"create":"5m"}'}
    reply = fresh("CheckConfig", urn="urn:pulumi:d::p::pulumi:providers:jvp::x", news=news)
    assert not reply.failures
    assert reply.inputs == fresh.request("CheckConfig", news=news).news


@pytest.mark.parametrize(
    ("news", "said"),
    [
        ({"url": "x"}, ("", 'url: there is no property "url"; did you mean "uri"?')),
        ({"virtType": "xen"}, ("", "virtType: must be one of 'auto', 'kvm' or 'qemu', not \"xen\"")),
        ({"timeouts": '{"create":"soon"}'}, ("", 'timeouts.create: "soon" is not a duration')),
        ({"timeouts": "soon"}, ("", "timeouts: must be an object")),
        ({"timeouts": '{"create":"0s"}'}, ("", "timeouts.create: must be more than zero")),
        ({"owner": "o" * 10_000}, ("", "owner: is 10000 characters long; at most 100 are allowed")),
        ({"uri": "qemu:///system\nx"}, ("", 'uri: "qemu:///system\\nx" has control characters')),
        ({"uri": ""}, ("", "uri: must not be empty")),
        ({"uri": "foo://"}, ("", "uri: must begin with qemu")),
        ({"uri": "qemu+ssh://"}, ("", "uri: must end with /system or /session")),
        ({"uri": "qemu+sssh://h/system"}, ("", "uri: has a transport that is none; there are ssh, tcp")),
        ({"uri": "qemu+tcp://h:99999/system"}, ("", "uri: has a port that is none")),
        ({"uri": "qemu+tcp://[h/system"}, ("", "uri: is not a connection")),
        ({"uri": "qemu+ssh://a b/system"}, ("", "uri: is not a connection")),
    ],
)
def test_wrong_settings_are_failures(fresh: Client, news: dict[str, Any], said: tuple[str, str]) -> None:
    (failure,) = fresh("CheckConfig", news=news).failures
    assert failure.property == said[0]
    assert failure.reason.startswith(said[1])


def test_unknown_settings_pass_in_a_preview(fresh: Client) -> None:
    assert not fresh("CheckConfig", news={"uri": UNKNOWN, "timeouts": UNKNOWN}).failures


def test_changed_settings_never_replace(fresh: Client) -> None:
    reply = fresh("DiffConfig", old_inputs={"uri": "a", "timeouts": '{"create":"5m"}'}, news={"uri": "b"})
    assert reply.changes == DIFF_SOME
    assert sorted(reply.diffs) == ["timeouts", "uri"]
    assert not reply.replaces
    assert all(entry.kind == 4 for entry in reply.detailedDiff.values())


def test_the_same_settings_in_another_spelling_do_not_differ(fresh: Client) -> None:
    old = {"uri": "a", "timeouts": '{"create":"5m"}', "version": "1"}
    new = {"uri": "a", "timeouts": '{"create": "5m"}', "version": "2", "__internal": {"name": "x"}}
    assert fresh("DiffConfig", old_inputs=old, news=new).changes == DIFF_NONE


def test_configure_takes_secrets_json_and_the_older_variables(fresh: Client, service: Service) -> None:
    secret = {SIGNATURE: SECRET, "value": '{"create":"7s"}'}
    fresh("Configure", args={"owner": "me", "timeouts": secret, "version": "1"})
    assert service.load()._ready.provider.owner == "me"
    assert service.load()._ready.provider.timeouts.create == "7s"
    fresh("Configure", variables={"jvp:config:owner": "you"})
    assert service.load()._ready.provider.owner == "you"


def test_wrong_settings_fail_configure_in_one_sentence(fresh: Client) -> None:
    code, text = refusal(lambda: fresh("Configure", args={"timeouts": {"create": "soon"}}))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith('the provider\'s settings are wrong: timeouts.create: "soon" is not a duration')


def test_an_unknown_method_is_unimplemented(fresh: Client) -> None:
    call = fresh.channel.unary_unary("/pulumirpc.ResourceProvider/StreamInvoke")
    assert refusal(lambda: call(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_cancel_is_answered_without_an_engine(fresh: Client, engine: Engine) -> None:
    fresh("Cancel")
    assert engine.lines == []
