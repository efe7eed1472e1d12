"""What an instance may be declared with: the rules, what follows from what, and how changes take effect."""

from __future__ import annotations

import base64
import copy
import gzip
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Path, dotted
from jvp.core.facts import Effect
from jvp.core.model import fields, having
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN, Secret, walk
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.resources.instance.handler import Instances
from jvp.resources.instance.instance_facts import Beside, ByType, OfTheGuest
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.provider import Provider

KERNEL = {"kernel": "/k"}
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x"
K = {"directKernel": KERNEL}
DISK = {"name": "d", "volume": "p/d"}
EACH = {"read": 100, "readMax": 200, "write": 50, "writeMax": 50}
EACH_BYTES = {"read": "50MiB", "readMax": "60MiB", "write": "1MB", "writeMax": "1000kB"}
NETWORK = "version: 2\nethernets:\n  eth0:\n    dhcp4: true\n"
DEVICES: dict[str, Any] = {
    "tpm": {"type": "passthrough", "model": "tpm-tis", "device": "/dev/tpm0"},
    "filesystems": [{"tag": "src", "source": "/srv/src", "driver": "9p", "readOnly": True, "accessMode": "mapped"},
                    {"tag": "out", "source": "/srv/out", "driver": "9p"}],
    "watchdog": {"model": "ib700", "action": "pause"}, "rng": {"source": "/dev/hwrng", "rate": 1024},
    "smbios": {
        "system": {"manufacturer": "A", "product": "B", "version": "1", "serial": "S", "sku": "K", "family": "F"},
        "baseboard": {"manufacturer": "A", "product": "B", "version": "1", "serial": "S", "asset": "T",
                      "location": "L"},
        "chassis": {"manufacturer": "A", "version": "1", "serial": "S", "asset": "T", "sku": "K"},
        "oemStrings": ["app:one", "app:two"],
    },
}  # fmt: skip
FULL: dict[str, Any] = {
    "name": "web", "template": "debian", "cpus": 2, "maxCpus": 4,
    "description": "The shop\n\tat night", "tags": {"team": "web", "example.org/backup": ""},
    "rootDisk": {"pool": "p", "size": "10GiB", "format": "raw", "bus": "scsi", "deleteWithInstance": True,
                 "serial": "ROOT-1", "wwn": "5000c50015ea71ab", "cache": "none", "io": "native", "discard": "ignore",
                 "detectZeroes": "on", "iops": EACH, "bandwidth": EACH_BYTES},
    "memory": "1GiB", "maxMemory": "2GiB", "virtType": "qemu", "powerState": "running", "autostart": True,
    "disks": [{"name": "data", "volume": "p/data", "readOnly": True, "bus": "scsi", "serial": "DATA-1",
               "wwn": "5000C50015EA71AC", "cache": "directsync", "io": "native", "discard": "ignore",
               "detectZeroes": "on", "shareable": True, "iops": EACH, "bandwidth": EACH_BYTES}],
    "nics": [{"name": "eth0", "network": "n", "mac": "52:54:00:00:00:01", "address": "10.0.0.9", "hostname": "web",
              "firewall": "f",
              "model": "e1000e"},
             {"name": "eth1", "bridge": "ovs0", "virtualPort": "openvswitch", "vlan": 42, "trunk": [47, 48]},
             {"name": "eth2", "device": "eth0", "deviceMode": "vepa"}],
    "cloudInit": {"hostname": "web.example.org", "onChange": "nextBoot", "sshKeys": [SSH],
                  "users": [{"name": "u", "password": "secretpw", "sudo": True, "groups": ["g"], "shell": "/bin/sh",
                             "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"]}],
                  "packages": ["nginx", "g++", "tzdata=2024b-0+deb12u1"],
                  "files": [{"path": "/etc/motd", "content": "secretmotd", "permissions": "0600", "owner": "u:g"}],
                  "runCommands": ["systemctl reload nginx"], "networkConfig": NETWORK,
                  "vendorData": "#cloud-config\n{}", "metaData": {"role": "web"}},
    "directKernel": {"kernel": "/k", "initrd": "/i", "cmdline": "quiet"},
    "waitFor": "ip", "waitTimeout": "90s", "shutdownTimeout": "5s", "updatePolicy": "restart",
    "restartTriggers": {"kernel": "a"}, "compactTriggers": {"month": "a"},
    "firmware": "uefi", "machine": "q35", "cpuMode": "host-model", "iso": "p/cd",
    "cpu": {"features": {"vmx": "require"}, "topology": {"sockets": 1, "dies": 1, "cores": 2, "threads": 2}},
    "cpuset": "0-3,^1", "memoryBacking": {"hugePages": "2MiB", "shared": True, "locked": True},
    "clock": {"offset": "timezone", "timezone": "Europe/Berlin",
              "timers": [{"name": "rtc", "present": True, "tickpolicy": "catchup"}]},
    "xml": {"features/kvm/hidden/@state": "on"},
    **DEVICES,
}  # fmt: skip


def failures(raw: dict[str, Any]) -> dict[str, str]:
    return {dotted(failure.path): failure.message for failure in check(Instance, raw).failures}


def test_full_is_valid_and_its_own_normal_form() -> None:
    checked = check(Instance, FULL)
    assert checked.failures == ()
    assert check(Instance, checked.inputs).inputs == checked.inputs
    assert checked.inputs["cloudInit"]["users"][0]["password"] == Secret("secretpw")
    assert checked.inputs["cloudInit"]["files"][0]["content"] == Secret("secretmotd")
    assert checked.inputs["cloudInit"]["runCommands"] == Secret(["systemctl reload nginx"])
    assert checked.inputs["cloudInit"]["networkConfig"] == Secret(NETWORK)


@pytest.mark.parametrize(
    ("raw", "path", "part"),
    [
        ({}, "template", "needs a template, a rootDisk.size for an empty disk, an iso or a directKernel"),
        ({"rootDisk": {"pool": "p"}}, "template", "needs a template"),
        ({"template": "t", "snapshot": "i/s"}, "snapshot", "cannot stand beside template"),
        ({**K, "snapshotDisks": "root"}, "snapshotDisks", "means nothing without a snapshot"),
        ({"rootDisk": {"size": "1GiB"}}, "rootDisk.pool", "is required for an empty root disk"),
        ({**K, "rootDisk": {"pool": "p"}}, "rootDisk.size", "is required for an empty root disk"),
        ({**K, "cloudInit": {"users": [{"name": "a"}, {"name": "a"}]}}, "cloudInit.users[1].name", "is given twice"),
        ({**K, "cpus": 0}, "cpus", "must be at least 1"),
        ({**K, "description": " \n"}, "description", "must not be empty; leave it out"),
        ({**K, "description": "a\x1b[0m"}, "description", "has control characters"),
        ({**K, "description": "x" * 4097}, "description", "is 4097 characters long; at most 4096 are allowed"),
        ({**K, "tags": {"a=b": "c"}}, "tags", '"a=b" is not the name of a tag'),
        ({**K, "tags": {"": "c"}}, "tags", "is not the name of a tag"),
        ({**K, "tags": {"n" * 64: "c"}}, "tags", "at most 63 of them"),
        ({**K, "tags": {"team": "a\nb"}}, "tags.team", "has control characters"),
        ({**K, "tags": {"team": "x" * 256}}, "tags.team", "is 256 characters long; at most 255 are allowed"),
        ({**K, "tags": {f"t{number}": '"' * 255 for number in range(6)}}, "tags", "more than the 4096 that there are"),
        ({**K, "tags": {"team": 5}}, "tags.team", "must be a string, not 5"),
        ({**K, "nics": [{"name": "a", "deviceMode": "vepa"}]}, "nics[0].deviceMode", "needs a device"),
        ({**K, "nics": [{"name": "a", "network": "n", "virtualPort": "openvswitch"}]}, "nics[0].virtualPort",
         "needs a bridge"),
        ({**K, "nics": [{"name": "a", "network": "n", "vlan": 4}]}, "nics[0].vlan", "is said by the network"),
        ({**K, "nics": [{"name": "a", "device": "e", "vlan": 4}]}, "nics[0].vlan", 'needs deviceMode "passthrough"'),
        ({**K, "nics": [{"name": "a", "bridge": "b", "trunk": [4]}]}, "nics[0].trunk", "is for a bridge of Open"),
        ({**K, "clock": {"timers": [{"name": "rtc", "present": True}, {"name": "rtc", "present": False}]}},
         "clock.timers[1].name", '"rtc" is given twice'),
        ({**K, "xml": {"features//kvm": "on"}}, "xml.features//kvm", '"features//kvm" is not a path; it looks like'),
        ({**K, "xml": {"//domain": "on"}}, "xml.//domain", "is not a path"),
        ({**K, "xml": {"features/kvm/": "on"}}, "xml.features/kvm/", "is not a path"),
        ({**K, "xml": {"a[last()]": "on"}}, "xml.a[last()]", "is not a path"),
        ({**K, "xml": {"metadata/x": "on"}}, "xml.metadata/x", '"metadata" keeps what others note of the machine'),
        ({**K, "xml": {"uuid": "a"}}, "xml.uuid", "is what the instance is known by"),
        ({**K, "xml": {"features/pae": "<pae>"}}, "xml.features/pae", "is no XML"),
        ({**K, "xml": {"features/pae": "<pae/><apic/>"}}, "xml.features/pae", "has to be one element"),
        ({**K, "xml": {"features/pae": "<apic/>"}}, "xml.features/pae", "has to be an element pae, as the path says"),
        ({**K, "xml": {"a": '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><a>&b;</a>'}}, "xml.a", "has a document"),
        ({**K, "xml": {"a": "<a><![CDATA[b]]></a>"}}, "xml.a", "has a document type or a CDATA section"),
        ({**K, "xml": {"a": "x" * 8193}}, "xml.a", "is 8193 characters long; at most 8192 are allowed"),
        ({**K, "xml": {f"a{number}": "x" * 8192 for number in range(5)}}, "xml", "at most 32768 are allowed"),
        ({**K, "tpm": {"device": "/dev/tpm0"}}, "tpm.device", 'is for the type "passthrough"'),
        ({**K, "smbios": {"system": {}}}, "smbios", "says nothing; leave it out"),
        ({**K, "filesystems": [{"tag": "a", "source": "/a", "readOnly": True}]}, "filesystems[0].readOnly",
         'needs driver "9p"'),
        ({**K, "filesystems": [{"tag": "a", "source": "/a", "accessMode": "squash"}]}, "filesystems[0].accessMode",
         'needs driver "9p"'),
        ({**K, "filesystems": [{"tag": "a", "source": "/a"}]}, "filesystems[0].driver", "needs memoryBacking.shared"),
        ({**K, "filesystems": [{"tag": "a" * 32, "source": "/a"}]}, "filesystems[0].tag", "at most 31"),
        ({**K, "filesystems": [{"tag": "a", "source": "/a"}] * 2}, "filesystems[1].tag", "is given twice"),
        ({**K, "rng": {"source": "/dev/sda"}}, "rng.source", "/dev/urandom"),
        ({**K, "cpus": 513}, "cpus", "must be at most 512"),
        ({**K, "cpus": True}, "cpus", "must be a whole number, not true"),
        ({**K, "cloudInit": {}}, "cloudInit", "needs a root disk"),
        ({"template": "t", "rootDisk": {"size": "2049TiB"}}, "rootDisk.size", "more than the 2048TiB that a qcow2"),
        ({**K, "nics": [{"name": f"n{number}"} for number in range(201)]}, "nics", "at most 200 disks and cards"),
        ({"directKernel": {"kernel": "/boot/"}}, "directKernel.kernel", "is a folder"),
        ({**K, "cpus": 4, "maxCpus": 2}, "maxCpus", "is 2, less than cpus, which is 4"),
        ({**K, "memory": "15MiB"}, "memory", "at least 16MiB are needed"),
        ({**K, "memory": "1073741824"}, "memory", "is not a size"),
        ({**K, "memory": "2GiB", "maxMemory": "2GB"}, "maxMemory", "is less than memory"),
        ({**K, "memory": "20MiB", "maxMemory": "1GiB", "cpus": "two"}, "cpus", "whole number"),
        ({"directKernel": {}}, "directKernel.kernel", "is required"),
        ({"directKernel": {"kernel": "vmlinuz"}}, "directKernel.kernel", "not an absolute path"),
        ({"directKernel": {"kernel": "/k", "cmdline": "a\nb"}}, "directKernel.cmdline", "control characters"),
        ({**K, "disks": [{"name": "a", "volume": "p/x"}, {"name": "A", "volume": "p/y"}]},
         "disks[1].name", "is given twice"),
        ({**K, "disks": [{"name": "a", "volume": "p/x"}, {"name": "b", "volume": "p/x"}]},
         "disks[1].volume", "is given twice"),
        ({**K, "disks": [{"volume": "p/x"}]}, "disks[0].name", "is required"),
        ({**K, "disks": [{"name": "a b", "volume": "p/x"}]}, "disks[0].name", "is not a device name"),
        ({**K, "disks": [{"name": "a" * 33, "volume": "p/x"}]}, "disks[0].name", "is not a device name"),
        ({**K, "disks": [{**DISK, "io": "native"}]}, "disks[0].io", 'needs the cache "none" or "directsync"'),
        ({**K, "disks": [{**DISK, "io": "native", "cache": "unsafe"}]}, "disks[0].io", 'and it is "unsafe"'),
        ({**K, "rootDisk": {"pool": "p", "size": "1GiB", "io": "native"}}, "rootDisk.io", "and it is not set"),
        ({**K, "disks": [{**DISK, "serial": "s" * 21}]}, "disks[0].serial", "has 21 characters, and a disk shows 20"),
        ({**K, "disks": [{**DISK, "serial": "s" * 37, "bus": "scsi"}]}, "disks[0].serial", "not a serial number"),
        ({**K, "disks": [{**DISK, "wwn": "0x5000c50015ea71"}]}, "disks[0].wwn", "16 hexadecimal digits"),
        ({**K, "disks": [{**DISK, "wwn": "5" * 16, "bus": "sata"}]}, "disks[0].wwn", 'and its bus is "sata"'),
        ({**K, "disks": [{**DISK, "iops": {"total": 9, "read": 1}}]}, "disks[0].iops.read", "cannot stand beside"),
        ({**K, "disks": [{**DISK, "iops": {"readMax": 1}}]}, "disks[0].iops.readMax", "needs read"),
        ({**K, "disks": [{**DISK, "iops": {"read": 0}}]}, "disks[0].iops.read", "must be at least 1"),
        ({**K, "disks": [{**DISK, "bandwidth": {"read": "1MiB", "readMax": "1MB"}}]}, "disks[0].bandwidth.readMax",
         "is less than read"),
        ({**K, "disks": [{**DISK, "bandwidth": {"write": 5}}]}, "disks[0].bandwidth.write", "is not a size"),
        ({**K, "disks": [{**DISK, "bandwidth": {"write": "1001TB"}}]}, "disks[0].bandwidth.write", "1000TB per second"),
        ({**K, "nics": [{"name": "a"}, {"name": "a"}]}, "nics[1].name", "is given twice"),
        ({**K, "nics": [{"name": "a", "mac": "52:54:00:00:00:aa"},
                           {"name": "b", "mac": "52:54:00:00:00:AA"}]}, "nics[1].mac", "given twice"),
        ({**K, "nics": [{"name": "a", "mac": "01:00:00:00:00:00"}]}, "nics[0].mac", "multicast"),
        ({**K, "nics": [{"name": "a", "model": "ne2k_pci"}]}, "nics[0].model", "must be one of"),
        ({**K, "nics": [{"name": "a", "address": "10.0.0.9"}]}, "nics[0].address", "needs a network"),
        ({**K, "nics": [{"name": "a", "network": "n", "address": "10.0.0"}]}, "nics[0].address", "not an IP address"),
        ({**K, "nics": [{"name": "a", "network": "n", "address": "fd00::1"}]}, "nics[0].address",
         "is not an IPv4 address"),
        ({**K, "nics": [{"name": "a", "network": "n", "address": "10.0.0.9"},
                           {"name": "b", "network": "m", "address": "10.0.0.9"}]}, "nics[1].address", "given twice"),
        ({**K, "nics": [{"name": "a", "firewall": "f"}]}, "nics[0].firewall", "needs a network"),
        ({**K, "nics": [{"name": "a", "network": "n", "bridge": "b"}]}, "nics[0].bridge", "beside network"),
        ({**K, "nics": [{"name": "a", "bridge": "b", "device": "c"}]}, "nics[0].device", "beside bridge"),
        ({**K, "nics": [{"name": "a", "bridge": "b", "address": "10.0.0.9"}]}, "nics[0].address", "needs a network"),
        ({**K, "nics": [{"name": "a", "device": "c", "firewall": "f"}]}, "nics[0].firewall", "filters no other card"),
        ({**K, "nics": [{"name": "a", "bridge": "../b"}]}, "nics[0].bridge", "is not an interface name"),
        ({**K, "nics": [{"name": "a", "network": "n", "hostname": "web"}]}, "nics[0].hostname", "needs an address"),
        ({**K, "nics": [{"name": "a", "network": "n", "address": "10.0.0.9", "hostname": "9a"}]}, "nics[0].hostname",
         "must begin with a letter"),
        ({**K, "nics": [{"name": "a", "network": "n", "address": "10.0.0.9", "hostname": "web"},
                           {"name": "b", "network": "n", "address": "10.0.0.8", "hostname": "WEB"}]},
         "nics[1].hostname", "given twice"),
        ({**K, "waitFor": "ip"}, "waitFor", "without nics never has an address"),
        ({**K, "waitFor": "ip", "nics": [{"name": "a"}], "powerState": "stopped"}, "waitFor", "never has"),
        ({**K, "waitFor": "ip", "nics": [{"name": "a"}], "powerState": "paused"}, "waitFor", "never has"),
        ({"iso": ""}, "iso", "must not be empty"),
        ({**K, "firmware": "efi"}, "firmware", "must be one of"),
        ({**K, "machine": "q35 "}, "machine", "is not a machine type"),
        ({**K, "machine": ""}, "machine", "is not a machine type"),
        ({**K, "cpuMode": "host,+vmx"}, "cpuMode", "is not a CPU"),
        ({**K, "cpu": {"features": {"VMX!": "require"}}}, "cpu.features.VMX!", "is not a feature of a CPU"),
        ({**K, "cpu": {"features": {"vmx": "on"}}}, "cpu.features.vmx", "require"),
        ({**K, "cpus": 4, "cpu": {"topology": {"cores": 2, "threads": 3}}}, "cpu.topology",
         "makes 6 CPUs (1 sockets by 1 dies by 2 cores by 3 threads), and cpus is 4: the two have to be the same"),
        ({**K, "cpus": 2, "maxCpus": 4, "cpu": {"topology": {"cores": 2}}}, "cpu.topology", "and maxCpus is 4"),
        ({**K, "cpuset": "3-1"}, "cpuset", '"3-1" is not a set of CPUs from 0 to 1023; it looks like "0-3,^1"'),
        ({**K, "cpuset": "0,^0"}, "cpuset", "is not a set of CPUs"),
        ({**K, "cpuset": "0-1024"}, "cpuset", "is not a set of CPUs"),
        ({**K, "memoryBacking": {"hugePages": "3MiB"}}, "memoryBacking.hugePages", "2MiB"),
        ({**K, "clock": {"timezone": "Europe/Berlin"}}, "clock.timezone", 'means nothing where offset is "utc"'),
        ({**K, "clock": {"offset": "timezone"}}, "clock.timezone", "is required"),
        ({**K, "clock": {"offset": "timezone", "timezone": "../x"}}, "clock.timezone", "is not a time zone"),
        ({**K, "clock": {"timers": [{"name": "hpet"}]}}, "clock.timers[0]", "says nothing"),
        ({**K, "waitFor": "agent", "powerState": "stopped"}, "waitFor", "agent of a stopped instance never answers"),
        ({**K, "waitFor": "cloud"}, "waitFor", "must be one of"),
        ({**K, "waitTimeout": "90"}, "waitTimeout", "is not a duration"),
        ({**K, "updatePolicy": "reboot"}, "updatePolicy", "must be one of"),
        ({"template": "t", "cloudInit": {"userData": "#!", "users": [{"name": "u"}]}}, "cloudInit.users", "cannot"),
        ({"template": "t", "cloudInit": {"userData": "#!", "sshKeys": ["ssh-rsa AAAAAAAAAAAAAAAAAAAA"]}},
         "cloudInit.sshKeys", "cannot stand beside"),
        ({"template": "t", "cloudInit": {"userData": "#!", "packages": ["a"]}}, "cloudInit.packages", "cannot stand"),
        ({"template": "t", "cloudInit": {"userData": "#!", "runCommands": ["a"]}}, "cloudInit.runCommands", "cannot"),
        ({"template": "t", "cloudInit": {"userData": "#!", "files": [{"path": "/a", "content": ""}]}},
         "cloudInit.files", "cannot stand"),
        ({"template": "t", "cloudInit": {"userData": " \n"}}, "cloudInit.userData", "must not be empty"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u"}, {"name": "u"}]}}, "cloudInit.users[1].name", "twice"),
        ({"template": "t", "cloudInit": {"packages": ["-y"]}}, "cloudInit.packages[0]", "is not the name of a package"),
        ({"template": "t", "cloudInit": {"packages": ["a b"]}}, "cloudInit.packages[0]", "is not the name"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a"}]}}, "cloudInit.files[0].content", "is required"),
        ({"template": "t", "cloudInit": {"files": [{"path": "a", "content": ""}]}},
         "cloudInit.files[0].path", "not an absolute path"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a/", "content": ""}]}},
         "cloudInit.files[0].path", "is a folder"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a", "content": ""}, {"path": "/a", "content": ""}]}},
         "cloudInit.files[1].path", "is given twice"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a", "content": "", "permissions": "0888"}]}},
         "cloudInit.files[0].permissions", "is no file mode"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a", "content": "", "owner": "a:b:c"}]}},
         "cloudInit.files[0].owner", "is not an owner"),
        ({"template": "t", "cloudInit": {"files": [{"path": "/a", "content": "x" * 1048577}]}},
         "cloudInit.files[0].content", "at most 1048576"),
        ({"template": "t", "cloudInit": {"files": [{"path": f"/{n}", "content": "x" * 2**20} for n in range(17)]}},
         "cloudInit.files", "at most 16777216"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u", "password": ""}]}},
         "cloudInit.users[0].password", "must not be empty"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u", "password": "a\nb"}]}},
         "cloudInit.users[0].password", "control characters"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u", "password": "a\ud800"}]}},
         "cloudInit.users[0].password", "surrogate"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u", "groups": ["a,b"]}]}},
         "cloudInit.users[0].groups[0]", "is not the name of a group"),
        ({"template": "t", "cloudInit": {"users": [{"name": "u", "shell": "/"}]}},
         "cloudInit.users[0].shell", "is a folder"),
        ({"template": "t", "cloudInit": {"userData": "#cloud-config\n- a\n"}}, "cloudInit.userData", "is no mapping"),
        ({"template": "t", "cloudInit": {"userData": "#cloud-config\na: b\n c: d"}}, "cloudInit.userData", "in line 3"),
        ({"template": "t", "cloudInit": {"networkConfig": "[" * 4999 + "\nversion: 2"}},
         "cloudInit.networkConfig", "is not YAML"),
        ({"template": "t", "cloudInit": {"vendorData": "hello"}}, "cloudInit.vendorData", "begins with no line"),
        ({"template": "t", "cloudInit": {"metaData": {"local-hostname": "a"}}},
         "cloudInit.metaData.local-hostname", "say it with hostname"),
        ({"template": "t", "cloudInit": {"metaData": {"a\n": "a"}}}, "cloudInit.metaData", "cannot name an entry"),
        ({"template": "t", "cloudInit": {"runCommands": [""]}}, "cloudInit.runCommands[0]", "must not be empty"),
        ({"template": "t", "cloudInit": {"networkConfig": "ethernets: {}"}}, "cloudInit.networkConfig", "no \"version"),
        ({"template": "t", "cloudInit": {"networkConfig": ""}}, "cloudInit.networkConfig", 'has no "version:"'),
        ({"template": "t", "cloudInit": {"sshKeys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}},
         "cloudInit.sshKeys[0]", "is not a public SSH key"),
        ({"template": "t", "cloudInit": {"users": [{"name": "root; rm"}]}}, "cloudInit.users[0].name", "user name"),
        ({"template": "t", "cloudInit": {"hostname": "-a"}}, "cloudInit.hostname", "is not a host name"),
        ({"template": "t", "cloudInit": {"hostname": "a..b"}}, "cloudInit.hostname", "is not a host name"),
        ({"template": "t", "cloudInit": {"hostname": "a" * 64}}, "cloudInit.hostname", "is not a host name"),
        ({"template": "t", "cloudInit": {"hostname": "a\n"}}, "cloudInit.hostname", "is not a host name"),
        ({"template": "t", "cloudinit": {}}, "cloudinit", 'did you mean "cloudInit"?'),
        ({"template": "t", "max_cpu": 2}, "max_cpu", 'did you mean "maxCpus"?'),
    ],
)  # fmt: skip
def test_refused(raw: dict[str, Any], path: str, part: str) -> None:
    found = failures(raw)
    assert path in found, found
    assert part in found[path]


def test_two_networks_may_know_a_guest_by_one_name() -> None:
    cards: list[dict[str, Any]] = [
        {"name": name, "network": name, "address": address, "hostname": "web"}
        for name, address in (("front", "10.0.0.9"), ("back", "10.1.0.9"))
    ]
    assert failures({**K, "nics": cards}) == {}
    cards[1]["network"] = UNKNOWN
    assert failures({**K, "nics": cards}) == {}


@pytest.mark.parametrize(
    "text", ["#cloud-config", "#cloud-config\n---\n", "#!/bin/sh\n- a", "#cloud-config-archive\n- a"]
)
def test_user_data_that_is_no_mapping_and_need_not_be(text: str) -> None:
    assert failures({"template": "t", "cloudInit": {"userData": text}}) == {}


PACKED = base64.b64encode(gzip.compress(b"#cloud-config\npackages: [htop]\n")).decode()


@pytest.mark.parametrize(
    "text",
    [
        "\n#cloud-config\na: 1\n", "\ufeff#cloud-config\na: 1\n", "#!/bin/sh\n",
        "## template: jinja\n#cloud-config\n- {{ v1.b }}",
        "#include\nhttps://example.org/a\n", "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x--",
        "\n" * 20_000 + "#cloud-config\na: 1\n", "#alpine-config\nhostname: x\n",
        "#ps1_sysnative\nGet-Date", "<powershell>\nGet-Date\n</powershell>", "version: v1alpha1\nmachine: {}\n",
        '{"ignition": {"version": "3.4.0"}}', PACKED, "\n".join(textwrap.wrap(PACKED, 40)) + "\n",
        base64.b64encode(b"#cloud-config\na: 1\n").decode(),
    ],
)  # fmt: skip
def test_user_data_that_a_guest_reads(text: str) -> None:
    assert failures({"template": "t", "cloudInit": {"userData": text}}) == {}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"packages: [htop]\n", "begins with no line"), (b"# cloud config\na: 1\n", "begins with no line"),
        (gzip.compress(b"packages: [htop]\n"), "begins with no line"),
        (gzip.compress(b"#cloud-config\n- a\n"), "is no mapping"),
        (gzip.compress(b"#cloud-config\n")[:-9], "is base64 of gzip that is cut off"),
        (gzip.compress(bytes(20_000_000)), "or holds more than 16777216 bytes"),
        (b"\x1f\x8b\x08garbage", "is base64 of gzip that is broken"),
        (b"#cloud-config\n- a\n", "is no mapping"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [True, False])
def test_user_data_that_a_guest_would_ignore(data: bytes, says: str, packed: bool) -> None:
    if not packed and data.startswith(b"\x1f"):
        return  # no text
    text = base64.b64encode(data).decode() if packed else data.decode()
    assert says in failures({"template": "t", "cloudInit": {"userData": text}})["cloudInit.userData"]


@pytest.mark.parametrize(
    "text", ["config: disabled", "network:\n  config: disabled\n", "\ufeffnetwork: {config: 'disabled'}"]
)
def test_a_network_config_that_leaves_the_network_alone(text: str) -> None:
    assert failures({"template": "t", "cloudInit": {"networkConfig": text}}) == {}


def test_files_that_differ_in_case_only_are_two() -> None:
    files = [{"path": "/a", "content": ""}, {"path": "/A", "content": ""}]
    assert failures({"template": "t", "cloudInit": {"files": files}}) == {}


def test_a_secret_text_is_not_quoted() -> None:
    content = "hush-hush" + "\ud800"
    found = failures({"template": "t", "cloudInit": {"files": [{"path": "/a", "content": content}]}})
    assert "surrogate" in found["cloudInit.files[0].content"]
    assert "hush-hush" not in repr(found)


@pytest.mark.parametrize("text", [NETWORK, '{"version": 2, "ethernets": {}}', "network:\n  version: 2\n"])
def test_a_network_configuration_in_yaml_or_json(text: str) -> None:
    assert failures({"template": "t", "cloudInit": {"networkConfig": text}}) == {}


def test_two_cards_without_a_mac_are_no_repetition() -> None:
    assert failures({**K, "nics": [{"name": "a"}, {"name": "b"}]}) == {}


def test_room_follows_from_what_there_is() -> None:
    whole = check(Instance, {**K, "cpus": 3, "memory": "2GiB"}).whole
    assert (whole["maxCpus"], whole["maxMemory"]) == (3, "2GiB")


PATHS: list[Path] = [path for path, _ in walk(FULL)] + [
    ("rootDisk",), ("disks",), ("nics",), ("cloudInit",), ("directKernel",), ("disks", 0), ("nics", 0),
    ("cloudInit", "users"), ("cloudInit", "users", 0), ("cloudInit", "sshKeys"),
]  # fmt: skip


@pytest.mark.parametrize("room", [{}, {"maxCpus": 1, "maxMemory": "2GiB"}])
def test_one_of_the_secret_commands_may_be_unknown(room: dict[str, Any]) -> None:
    checked = check(Instance, {"template": "t", "cloudInit": {"runCommands": ["ls", UNKNOWN]}, **room})
    assert checked.failures == ()
    assert checked.inputs["cloudInit"]["runCommands"].reveal() == ["ls", UNKNOWN]


def test_a_kernel_that_is_not_known_yet_demands_no_size() -> None:
    assert check(Instance, {"rootDisk": {"pool": "p"}, "iso": "p/cd", "directKernel": UNKNOWN}).failures == ()


def unknown_at(paths: list[Path]) -> dict[str, Any]:
    raw = copy.deepcopy(FULL)
    for path in sorted(paths, key=len, reverse=True):
        holder: Any = raw
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = UNKNOWN
    return raw


@given(st.lists(st.sampled_from(PATHS), unique=True))
def test_any_of_it_may_be_unknown(paths: list[Path]) -> None:
    checked = check(Instance, unknown_at(paths))
    assert checked.failures == ()
    assert check(Instance, checked.inputs).inputs == checked.inputs


@given(st.lists(st.sampled_from(PATHS), unique=True))
def test_a_preview_with_unknown_values_asks_no_host(paths: list[Path]) -> None:
    calls = offline()
    inputs = check(Instance, unknown_at(paths)).inputs
    bag = calls.preview_create("Instance", inputs, Work())
    assert bag["uuid"] is UNKNOWN
    stored = Stored("i", check(Instance, FULL).inputs, {**check(Instance, FULL).whole, "uuid": "i"})
    assert calls.preview_update("Instance", stored, inputs, Work())["uuid"] == "i"


def offline() -> Calls:
    """The instance's calls over a node that nobody answers for."""
    return Calls({"Instance": Instances(Node("qemu+unix:///system?socket=/nowhere"), Provider(virt_type="qemu"))}, {})


def effects(old: dict[str, Any], new: dict[str, Any], **state: Any) -> set[tuple[str, Effect]]:
    before, after = check(Instance, old), check(Instance, new).inputs
    stored = Stored("i", before.inputs, {**before.whole, **state})
    return {(dotted(change.path), change.effect) for change in offline().diff("Instance", stored, after).changes}


BASE: dict[str, Any] = {"template": "t", "maxCpus": 4, "maxMemory": "4GiB", "rootDisk": {"size": "10GiB", "pool": "p"}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cpus": 3}, {("cpus", Effect.LIVE)}),
        ({"cpus": 5, "maxCpus": 5}, {("cpus", Effect.NEXT_BOOT), ("maxCpus", Effect.NEXT_BOOT)}),
        ({"memory": "2GiB"}, {("memory", Effect.LIVE)}),
        ({"memory": "512MiB"}, {("memory", Effect.LIVE)}),
        ({"memory": "1024MiB"}, set()),
        ({"memory": "5GiB", "maxMemory": "5GiB"}, {("memory", Effect.NEXT_BOOT), ("maxMemory", Effect.NEXT_BOOT)}),
        ({"name": "b"}, {("name", Effect.POWER_OFF)}),
        ({"template": "u"}, {("template", Effect.REPLACE)}),
        ({"rootDisk": {"size": "20GiB", "pool": "p"}}, {("rootDisk.size", Effect.LIVE)}),
        ({"rootDisk": {"size": "10240MiB", "pool": "p"}}, set()),
        ({"rootDisk": {"size": "10GiB", "pool": "q"}}, {("rootDisk.pool", Effect.REPLACE)}),
        ({"rootDisk": {"pool": "p"}}, set()),
        ({"rootDisk": {"size": "10GiB", "pool": "p", "format": "raw"}}, {("rootDisk.format", Effect.REPLACE)}),
        ({"rootDisk": {"size": "10GiB", "pool": "p", "bus": "sata"}}, {("rootDisk.bus", Effect.NEXT_BOOT)}),
        ({"disks": [{"name": "a", "volume": "p/a"}]}, {("disks[0]", Effect.LIVE)}),
        ({"nics": [{"name": "a"}]}, {("nics[0]", Effect.LIVE)}),
        (K, {("directKernel", Effect.NEXT_BOOT)}),
        ({"virtType": "kvm"}, {("virtType", Effect.NEXT_BOOT)}),
        ({"iso": "p/cd"}, {("iso", Effect.NEXT_BOOT)}),
        ({"firmware": "uefi"}, {("firmware", Effect.NEXT_BOOT)}),
        ({"machine": "q35"}, set()),
        ({"machine": "pc-q35-6.1"}, {("machine", Effect.NEXT_BOOT)}),
        ({"machine": "virt"}, {("machine", Effect.REPLACE)}),
        ({"machine": UNKNOWN}, {("machine", Effect.NEXT_BOOT)}),
        ({"cpuMode": "Nehalem"}, {("cpuMode", Effect.NEXT_BOOT)}),
        ({"powerState": "stopped"}, {("powerState", Effect.LIVE)}),
        ({"autostart": True}, {("autostart", Effect.LIVE)}),
        ({"cloudInit": {"hostname": "b"}}, {("cloudInit", Effect.NEXT_BOOT)}),
        ({"cloudInit": {"hostname": "b", "onChange": "replace"}}, {("cloudInit", Effect.REPLACE)}),
        ({"cloudInit": {"files": [{"path": "/a", "content": "x"}], "packages": ["a"], "runCommands": ["a"],
                        "networkConfig": NETWORK}}, {("cloudInit", Effect.NEXT_BOOT)}),
        ({"cloudInit": {"hostname": "b", "onChange": "ignore"}}, set()),
        ({"cloudInit": UNKNOWN}, {("cloudInit", Effect.NEXT_BOOT)}),
        ({"rootDisk": UNKNOWN}, {("rootDisk", Effect.REPLACE)}),
        ({"rootDisk": {"size": "10GiB", "pool": UNKNOWN}}, {("rootDisk.pool", Effect.REPLACE)}),
        ({"cpus": UNKNOWN, "maxCpus": UNKNOWN}, {("cpus", Effect.LIVE), ("maxCpus", Effect.NEXT_BOOT)}),
        ({"memory": UNKNOWN, "maxMemory": UNKNOWN}, {("memory", Effect.LIVE), ("maxMemory", Effect.NEXT_BOOT)}),
    ],
)  # fmt: skip
def test_effects(change: dict[str, Any], expected: set[tuple[str, Effect]]) -> None:
    state = {"name": "a", "virtType": "qemu", "machine": "pc-q35-7.2", "cpuMode": "qemu64"}
    assert effects(BASE, {**BASE, **change}, **state, rootDiskBytes=10 * 1024**3) == expected


@pytest.mark.parametrize(
    ("change", "state", "expected"),
    [
        ({"maxMemory": "8GiB"}, {}, {("maxMemory", Effect.POWER_OFF)}),
        ({"cloudInit": {"hostname": "b"}}, {}, {("cloudInit", Effect.POWER_OFF)}),
        ({"memory": "2GiB"}, {}, {("memory", Effect.LIVE)}),
        ({"maxMemory": "8GiB"}, {"state": "stopped"}, {("maxMemory", Effect.LIVE)}),
        ({}, {}, set()),
        ({}, {"updatePolicy": "live"}, {("updatePolicy", Effect.LIVE)}),
        ({}, {"updatePolicy": "live", "pendingRestart": True}, {("updatePolicy", Effect.POWER_OFF)}),
        ({}, {"pendingRestart": True}, set()),
    ],
)
def test_what_a_restart_applies_at_once(
    change: dict[str, Any], state: dict[str, Any], expected: set[tuple[str, Effect]]
) -> None:
    base = {**BASE, "updatePolicy": "restart"}
    assert (
        effects(base, {**base, **change}, **{"name": "a", "virtType": "qemu", "state": "running", **state}) == expected
    )


def test_a_plan_warns_of_the_restart() -> None:
    said: list[str] = []
    before = check(Instance, BASE)
    after = check(Instance, {**BASE, "updatePolicy": "restart", "maxMemory": "8GiB"}).inputs
    stored = Stored("i", before.inputs, {**before.whole, "state": "running", "uuid": "i"})
    offline().preview_update("Instance", stored, after, Work(warn=said.append))
    assert said == [
        "maxMemory: shuts the guest down and starts it again",
        "updatePolicy: a change that the running guest does not take shuts it down and starts it again",
    ]


def test_a_plan_warns_of_a_new_card_without_a_network() -> None:
    told = "has no network, so it has user-mode networking: a way out, no way in"
    cards = [{"name": "a", "network": "lan"}, {"name": "b"}, {"name": "c", "network": UNKNOWN}]
    given = check(Instance, {**BASE, "nics": cards})
    said: list[str] = []
    offline().preview_create("Instance", given.inputs, Work(warn=said.append))
    assert said == [f"nics[1]: {told}"]
    stored = Stored("i", given.inputs, {**given.whole, "uuid": "i"})
    said.clear()
    after = check(Instance, {**BASE, "nics": [{"name": "b"}, {"name": "a"}], "autostart": True}).inputs
    offline().preview_update("Instance", stored, after, Work(warn=said.append))
    assert said == [f"nics[1]: {told}"]
    session = Calls({"Instance": Instances(Node("qemu:///session"), Provider(virt_type="qemu"))}, {})
    said.clear()
    session.preview_create("Instance", given.inputs, Work(warn=said.append))
    assert said == []


def test_a_cd_goes_into_a_drive_that_is_there_at_once() -> None:
    before = {**BASE, "iso": "p/cd"}
    assert effects(before, {**BASE, "iso": "p/other"}) == {("iso", Effect.LIVE)}
    assert effects(before, BASE) == {("iso", Effect.LIVE)}


def test_an_iso_alone_is_enough_to_boot() -> None:
    assert failures({"iso": "debian"}) == {}


def test_files_are_matched_by_their_path() -> None:
    one, two = {"path": "/a", "content": "x"}, {"path": "/b", "content": "y"}
    before = {**BASE, "cloudInit": {"files": [one, two]}}
    assert effects(before, {**BASE, "cloudInit": {"files": [two, {**one, "permissions": "644"}]}}) == set()
    assert effects(before, {**BASE, "cloudInit": {"files": [two, {**one, "content": "z"}]}}) == {
        ("cloudInit.files[1].content", Effect.NEXT_BOOT)
    }
    assert effects(before, {**BASE, "cloudInit": {"files": [two]}}) == {("cloudInit.files[0]", Effect.NEXT_BOOT)}


def test_a_plan_that_shrinks_the_root_disk_warns_and_never_fails() -> None:
    """The engine also plans the state against the program before this one: when the disk grew by hand, or by an
    update that was cut off, a plan that fails would lock the stack."""
    shrunk = {**BASE, "rootDisk": {"size": "1GiB", "pool": "p"}}
    assert effects(BASE, shrunk, rootDiskBytes=10 * 1024**3) == {("rootDisk.size", Effect.LIVE)}
    before, after = check(Instance, BASE), check(Instance, shrunk).inputs
    stored = Stored("i", before.inputs, {**before.whole, "name": "a", "uuid": "i", "rootDiskBytes": 10 * 1024**3})
    said: list[str] = []
    offline().preview_update("Instance", stored, after, Work(warn=said.append))
    assert said == [
        'rootDisk.size: "1GiB" is less than the 10GiB that the disk has; a disk can only grow: this will fail'
    ]


@pytest.mark.parametrize("policy", ["replace", "ignore"])
def test_what_later_changes_of_the_user_data_do_can_be_changed_without_any_of_it(policy: str) -> None:
    was, now = {"hostname": "a"}, {"hostname": "a", "onChange": policy}
    for old, new in ((was, now), (now, was)):
        found = effects({**BASE, "cloudInit": old}, {**BASE, "cloudInit": new}, uuid=None, rootDiskPath="/x")
        assert found == {("cloudInit.onChange", Effect.LIVE)}


def test_what_follows_from_an_unknown_value_is_unknown() -> None:
    checked = check(Instance, {"template": "t", "cpus": UNKNOWN, "memory": UNKNOWN})
    assert checked.failures == ()
    assert checked.whole["maxCpus"] is UNKNOWN
    assert checked.whole["maxMemory"] is UNKNOWN


def test_the_memory_is_foretold_in_bytes_as_the_guest_has_it() -> None:
    base = {name: value for name, value in BASE.items() if name != "maxMemory"}
    checked = check(Instance, {**base, "memory": "100MB"})
    inputs = checked.inputs
    bag = offline().preview_create("Instance", inputs, Work())
    assert (bag["memoryBytes"], bag["maxMemoryBytes"]) == (96 << 20, 96 << 20)
    state = {**checked.whole, "name": "a", "uuid": "i", "memory": "97792KiB", "memoryBytes": 97792 << 10}
    state |= {"maxMemory": "1GiB", "maxMemoryBytes": 1 << 30}
    # Of an import the program leaves the room as it is.
    stored = Stored("i", inputs, state, {"unmanaged": ["maxMemory"]})
    bag = offline().preview_update("Instance", stored, inputs, Work())
    assert (bag["memoryBytes"], bag["maxMemoryBytes"]) == (97792 << 10, 1 << 30)
    more = check(Instance, {**BASE, "memory": "2GiB", "maxMemory": "2GiB"}).inputs
    bag = offline().preview_update("Instance", Stored("i", inputs, state), more, Work())
    assert (bag["memoryBytes"], bag["maxMemoryBytes"]) == (2 << 30, 2 << 30)


def test_what_each_property_is_for_is_told_by_the_property() -> None:
    beside = {
        "powerState", "autostart", "updatePolicy", "restartTriggers", "compactTriggers", "shutdownTimeout", "waitFor",
        "waitTimeout", "description", "tags",
    }  # fmt: skip
    assert having(Instance, Beside) == beside
    assert having(Instance, OfTheGuest) == {"memory", "cpus", "disks", "nics"}
    assert having(Instance, ByType) == {"firmware", "machine", "cpuMode", "rootDisk"}
    for name in ("pending", "pendingRestart"):
        output = fields(InstanceState)[name].output
        assert output is not None
        waits = set(fields(Instance)) - beside - {"name", "template", "snapshot", "snapshotDisks"}
        assert set(output.follows) == waits | {"powerState", "updatePolicy", "restartTriggers"}
