"""Folders that must not be a pool's, and folders with several names."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import folders


class Here(Node):
    """A node that is this machine, or is not."""

    def __init__(self, *, here: bool = True) -> None:
        super().__init__("test:///none")
        self.is_here = here


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("//var//lib/x/", "/var/lib/x"),
        ("/a/./b", "/a/b"),
        ("///", "/"),
    ],
)
def test_spellings(path: str, expected: str) -> None:
    assert folders.normal(path) == expected


@pytest.mark.parametrize("path", ["/proc", "/proc/1", "/sys", "/sys/kernel/debug", "/dev/pts", "//dev/mqueue/"])
def test_kernels(path: str) -> None:
    assert "holds no files but the kernel's own" in (folders.kernels(path) or "")


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/etc/libvirt/x", "/dev", "/dev/vg0", "/usr", "/usr/share/x", "/var", "/home", "/root/", "/tmp"],
)
def test_systems(path: str) -> None:
    assert "is a folder of the system" in (folders.systems(path) or "")


@pytest.mark.parametrize(
    "path",
    ["/var/lib/jvp", "/var/lib/libvirt/images", "/home/ann/vms", "/srv", "/mnt", "/usr/local/vms", "/dev/shm/p",
     "/etcetera", "/processed", "/var/tmp/x"],
)  # fmt: skip
def test_fine_ones(path: str) -> None:
    assert folders.kernels(path) is folders.systems(path) is None


def test_what_a_path_leads_to_is_told_of_this_machine_alone(tmp_path: Path) -> None:
    (tmp_path / "p").symlink_to("/proc")
    (tmp_path / "e").symlink_to("/etc")
    for name, word in (("p", "leads to /proc: "), ("p/new", "leads to /proc/new: "), ("e/x", "leads to /etc/x: ")):
        assert word in (folders.refused(Here(), f"{tmp_path}/{name}") or "")
        assert folders.refused(Here(here=False), f"{tmp_path}/{name}") is None
    assert folders.refused(Here(), f"{tmp_path}/new/deep") is None


def test_one_folder_has_many_names(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    same = [("real", "link"), ("real/", "/real"), ("real/new", "link/new"), ("real/a/b", "link//a/b/")]
    for one, other in same:
        assert folders.is_same(Here(), f"{tmp_path}/{one}", f"{tmp_path}/{other}")
    for one, other in [("real", "real/new"), ("real", "other"), ("real/new", "link/other"), ("real", "loop")]:
        assert not folders.is_same(Here(), f"{tmp_path}/{one}", f"{tmp_path}/{other}")
    assert not folders.is_same(Here(here=False), f"{tmp_path}/real", f"{tmp_path}/link")
    assert folders.is_same(Here(here=False), f"{tmp_path}/real", f"{tmp_path}//real/")
    assert not folders.is_same(Here(), "", str(Path.cwd()))


@pytest.mark.parametrize(
    ("uri", "hostname", "here"),
    [
        ("qemu:///system", socket.gethostname(), True),
        ("qemu:///session", f"{socket.gethostname()}.lab.example", True),
        ("qemu:///system", "another", False),
        ("qemu+unix:///system?socket=/x", socket.gethostname(), False),
        ("qemu+ssh://root@host/system", socket.gethostname(), False),
    ],
)
def test_which_node_is_this_machine(uri: str, hostname: str, here: bool) -> None:
    node = Node(uri)
    node.hostname = hostname
    assert node.is_here is here
