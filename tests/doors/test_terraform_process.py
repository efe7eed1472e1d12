"""The real plugin for Terraform as a process: its greeting, its end, and what it prints."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi_rpc import ROOT, tell_a_thread, within
from terraform_rpc import Client, Engine, environment, handshake, identity, unpacked

import jvp
from jvp.doors.terraform import plugin
from jvp.doors.terraform.plugin import GRACE_S

Start = Callable[..., "subprocess.Popen[bytes]"]
LIMIT_S = 60
KILLED_AFTER_S = 2.0
"""go-plugin's patience after a Shutdown."""


def host_of(client: Client) -> Engine:
    return Engine(client)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """The outcome of a process that ends by itself: its code, what it printed, what it complained."""
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out.decode(), err.decode()


# Greeting


def test_the_line_is_alone_and_leads_to_a_server_that_only_its_certificate_proves(
    terraform_plugin: Start, tmp_path: Path
) -> None:
    whose = identity()
    process = terraform_plugin(env=environment(whose, XDG_CACHE_HOME=str(tmp_path)))
    line = handshake(process)
    assert (line.core, line.version, line.network, line.kind) == ("1", "6", "unix", "grpc")
    assert stat.S_IMODE(line.socket.parent.stat().st_mode) == 0o700
    client = Client(line.socket, line.certificate, whose)
    block = host_of(client).block("jvp_network")
    assert block["name"].required
    client.close()

    stranger = Client(line.socket, identity().certificate)
    with pytest.raises(grpc.RpcError) as refused:
        host_of(stranger).block("jvp_network")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    stranger.close()
    process.terminate()
    assert ended(process) == (0, "", "")


def test_a_host_without_tls_is_served_in_the_clear(terraform_plugin: Start) -> None:
    line = handshake(terraform_plugin(env=environment()))
    assert line.certificate is None
    client = Client(line.socket)
    assert "jvp_network" in {one.type_name for one in host_of(client).ask("GetMetadata").resources}
    client.close()


@pytest.mark.parametrize("cookie", [None, "", "something else"])
def test_who_is_no_host_is_told_so_in_a_sentence(terraform_plugin: Start, cookie: str | None) -> None:
    told = {"TF_PLUGIN_MAGIC_COOKIE": cookie} if cookie is not None else {}
    code, out, err = ended(terraform_plugin(env=told))
    assert (code, out) == (1, "")
    assert err == (
        "terraform-provider-jvp is a plugin: tofu and terraform start it themselves. "
        'Install it with "jvp terraform install", or debug it with --debug.\n'
    )


def test_a_host_of_another_protocol_is_told_both_numbers(terraform_plugin: Start) -> None:
    code, out, err = ended(terraform_plugin(env=environment(PLUGIN_PROTOCOL_VERSIONS="4,5")))
    assert (code, out) == (1, "")
    assert err == "this provider speaks version 6 of the protocol, and the host 4, 5\n"


def test_it_tells_its_version(terraform_plugin: Start) -> None:
    assert ended(terraform_plugin("--version")) == (0, f"{jvp.__version__}\n", "")


def test_nothing_heavy_is_imported_before_the_line() -> None:
    heavy = (
        "pydantic", "libvirt", "lxml", "httpx", "pycdlib", "pulumi", "ormsgpack", "cryptography", "asyncio.events",
        "grpc.aio._call", "ast", "google.protobuf.descriptor_pb2", "google.protobuf.internal.decoder",
    )  # fmt: skip
    code = f"import sys, jvp.doors.terraform.plugin; print([name for name in {heavy!r} if name in sys.modules])"
    told = {**os.environ, "PYTHONPATH": str(ROOT / "provider")}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_killed_ones_left_is_swept_when_it_is_old(terraform_plugin: Start, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = (
        f"{dead.pid}-aaaaaaaa",
        f"{dead.pid}-bbbbbbbb",
        f"{os.getpid()}-cccccccc",
        "my-projects",
        f"{dead.pid}-dddddddd",
    )
    left, fresh, used, theirs, full = (tmp_path / f"jvp-{name}" for name in names)
    for folder in (left, fresh, used, theirs, full):
        folder.mkdir()
        (folder / "s").touch()
    (full / "kept").touch()
    for folder in (left, used, theirs, full):
        os.utime(folder, (0, 0))
    line = handshake(terraform_plugin(env=environment(PLUGIN_UNIX_SOCKET_DIR=str(tmp_path))))
    assert set(tmp_path.iterdir()) == {fresh, used, theirs, full, line.socket.parent}


def test_where_no_usual_folder_can_be_written_the_socket_is_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, refused = Path.mkdir, (Path("/tmp"), Path("/var/tmp"))

    def made(folder: Path, mode: int = 0o777) -> None:
        if folder.parent in refused:
            raise PermissionError("a container whose file system is read-only")
        make(folder, mode)

    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.chdir(tmp_path)
    for name in ("PLUGIN_UNIX_SOCKET_DIR", "TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert plugin._folder().parent == tmp_path


def test_two_at_once_are_apart(terraform_gadget: Start) -> None:
    lines = [handshake(terraform_gadget(env=environment())) for _ in range(2)]
    clients = [Client(line.socket) for line in lines]
    hosts = [host_of(client) for client in clients]
    for host in hosts:
        assert host.configure() == []
        assert host.create("jvp_gadget", {"name": "same"}).state["uuid"]
    assert lines[0].socket.parent != lines[1].socket.parent
    for client in clients:
        client.close()


def test_two_of_one_host_never_make_one_object_for_two_resources(terraform_gadget: Start, tmp_path: Path) -> None:
    """A host starts a process for each provider block, and ends the first before the second has begun."""
    told = environment(XDG_CACHE_HOME=str(tmp_path))
    left = tmp_path / "jvp" / "runs" / "1-1"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))

    def begun() -> tuple[Client, Engine]:
        client = Client(handshake(terraform_gadget("--shared", env=told)).socket)
        host = host_of(client)
        assert host.configure() == []
        return client, host

    def twice(host: Engine, name: str) -> list[str]:
        return [one.detail for one in host.apply(host.plan("jvp_gadget", {"name": name})).errors]

    client, first = begun()
    made = first.create("jvp_gadget", {"name": "a"})
    assert twice(first, "b") == []
    assert not left.exists(), "of a host that is gone"
    client.shut_down()
    client.close()
    client, second = begun()
    for name in "ab":
        assert twice(second, name) == [f'name: gadget "{name}" is declared twice, and is made already']
    (failed,) = second.apply(second.plan("jvp_gadget", {"name": "c", "act": "busy"})).errors
    assert failed.title == "Busy"
    assert twice(second, "c") == []
    second.read(made)
    assert twice(second, "a") == [], "a state has the first"
    client.close()


# End


def test_a_ctrl_c_is_for_the_host_and_a_terminate_ends(terraform_plugin: Start) -> None:
    process = terraform_plugin(env=environment())
    line = handshake(process)
    client = Client(line.socket)
    process.send_signal(signal.SIGINT)
    assert host_of(client).block("jvp_network")
    client.close()
    process.terminate()
    assert ended(process)[0] == 0
    assert not line.socket.parent.exists()


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_debug_log_names_calls_and_objects_and_no_value(terraform_gadget: Start, level: str) -> None:
    process = terraform_gadget(env=environment(TF_LOG_PROVIDER=level))
    client = Client(handshake(process).socket)
    host = host_of(client)
    assert host.configure() == []
    assert host.apply(host.plan("jvp_gadget", {"name": "seen", "password": "hush-hush"})).errors == []
    client.close()
    process.terminate()
    _, _, err = ended(process)
    told = [json.loads(line)["@message"] for line in err.splitlines() if line.startswith("{")]
    applied = [line for line in told if line.startswith("ApplyResourceChange")]
    if level == "debug":
        assert [re.sub(r"\d+", "N", line) for line in applied] == ['ApplyResourceChange jvp_gadget "seen": N ms']
    else:
        assert applied == []
    assert "hush" not in err


def test_a_terminate_that_another_thread_gets_ends_it(terraform_plugin: Start) -> None:
    process = terraform_plugin(env=environment())
    client = Client(handshake(process).socket)
    assert host_of(client).block("jvp_network")
    tell_a_thread(process, signal.SIGTERM)
    assert ended(process)[0] == 0


def test_a_shutdown_ends_what_runs_before_the_host_would_kill_it(terraform_gadget: Start) -> None:
    assert GRACE_S < KILLED_AFTER_S
    process = terraform_gadget(env=environment())
    line = handshake(process)
    client = Client(line.socket)
    printed = client.listen()
    host = host_of(client)
    assert host.configure() == []
    planned = host.plan("jvp_gadget", {"name": "slow", "act": "hang"})
    method, values = host.applying(planned)
    running = client.start(method, host.request(method, **values))
    within(LIMIT_S, lambda: host.data("jvp_gadget", {"name": "slow"})[0])
    client.shut_down()
    applied = host.applied(planned, running.result())
    assert applied.state["uuid"], "what was made is in the state"
    assert [one.title for one in applied.errors] == ["The gadget is not finished"]
    assert list(printed) == []
    assert ended(process)[:2] == (0, "")
    assert not line.socket.parent.exists()
    client.close()


def test_it_ends_with_its_host_however_that_ends(terraform_gadget: Start) -> None:
    command = [sys.executable, "-m", "gadget", "--terraform"]
    path = f"{ROOT / 'provider'}:{ROOT / 'tests' / 'doors'}"
    host = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & echo $! >&2; wait', "sh", *command],
        env={**os.environ, **environment(PYTHONPATH=path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert host.stderr is not None
    provider = int(host.stderr.readline())
    line = handshake(host)
    watched = os.pidfd_open(provider)
    host.kill()
    ready, _, _ = select.select([watched], [], [], LIMIT_S)
    os.close(watched)
    assert ready, "the provider outlived its host"
    assert not line.socket.parent.exists()
    host.wait()
    for stream in (host.stdout, host.stderr):
        stream.close()


def test_it_ends_with_a_host_that_was_gone_before_it_looked(tmp_path: Path) -> None:
    """Killed at once: the plugin's parent is another process when it asks for the first time."""
    starts = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE).pid, flush=True)\n"
        "time.sleep(600)"
    )
    path = f"{ROOT / 'provider'}:{ROOT / 'tests' / 'doors'}"
    told = {**os.environ, **environment(PYTHONPATH=path, PLUGIN_UNIX_SOCKET_DIR=str(tmp_path))}
    command = [sys.executable, "-c", starts, sys.executable, "-m", "gadget", "--terraform"]
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as host:
        assert host.stdout is not None
        watched = os.pidfd_open(int(host.stdout.readline()))
        host.kill()
    ready, _, _ = select.select([watched], [], [], LIMIT_S)
    if not ready:
        signal.pidfd_send_signal(watched, signal.SIGKILL)
    os.close(watched)
    assert ready, "the provider outlived its host"
    assert list(tmp_path.iterdir()) == []


# Debugging


def reattach(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What a debugged provider says to export."""
    assert process.stdout is not None
    name, _, value = process.stdout.readline().decode().strip().partition("=")
    assert name == "TF_REATTACH_PROVIDERS"
    (text,) = shlex.split(value)
    (found,) = json.loads(text).values()
    return dict(found)


def test_a_debugged_one_serves_host_after_host_until_a_ctrl_c(terraform_gadget: Start) -> None:
    process = terraform_gadget("--debug")
    told = reattach(process)
    assert {key: told[key] for key in ("Protocol", "ProtocolVersion", "Pid", "Test")} == {
        "Protocol": "grpc", "ProtocolVersion": 6, "Pid": process.pid, "Test": True,
    }  # fmt: skip
    socket = Path(told["Addr"]["String"])
    uuid = None
    for _ in range(2):
        client = Client(socket)
        client.listen()
        host = host_of(client)
        assert host.configure() == []
        if uuid is None:
            uuid = host.create("jvp_gadget", {"name": "kept"}).state["uuid"]
        assert host.imported("jvp_gadget", "kept").state["uuid"] == uuid
        host.ask("StopProvider")
        client.close()  # a host that is attached to does not end what it has not started
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 0
    assert not socket.parent.exists()


# The log


def test_the_log_is_json_and_holds_no_value(terraform_gadget: Start) -> None:
    process = terraform_gadget(env=environment())
    client = Client(handshake(process).socket)
    host = host_of(client)
    assert host.configure() == []
    planned = host.plan("jvp_gadget", {"name": "bad", "act": "defect", "password": "hunter22"})
    (wrong,) = host.apply(planned).errors
    assert wrong.title == "Defect of jvp"
    answer = host.ask("PlanResourceChange", type_name="jvp_gizmo")
    assert answer.diagnostics[0].summary == "Invalid value"
    assert unpacked(answer.planned_state) is None
    client.shut_down()
    client.close()
    _, out, err = ended(process)
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert [sorted(line) for line in lines] == [["@level", "@message", "@module", "@timestamp"]] * len(lines)
    assert any(line["@level"] == "error" and "PlanResourceChange" in line["@message"] for line in lines)
    assert "hunter22" not in err


# What libvirt forks


def test_grpc_says_nothing_in_the_processes_that_libvirt_forks(terraform_plugin: Start) -> None:
    """It says at least that it leaves a fork alone while it is called; and sometimes more, to whom ssh speaks."""
    process = terraform_plugin(env=environment())
    client = Client(handshake(process).socket)
    engine = host_of(client)
    engine.configure(uri="qemu+ssh://nobody@127.0.0.1:1/system")
    for _ in range(5):
        (wrong,) = engine.imported("jvp_network", "a").errors
        assert "ssh" in wrong.detail
    client.close()
    process.terminate()
    lines = ended(process)[2].splitlines()
    assert lines
    assert not [line for line in lines if not line.startswith("{")]
