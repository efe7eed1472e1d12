"""Objects of others that vanish between being listed and being looked at are no error of ours."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from jvp.core.errors import NameTaken
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.storage import volume_record
from jvp.libvirt.storage.lookup import unless_lost
from jvp.resources.storage.pool import StoragePool, StoragePools


def error(code: int) -> libvirt.libvirtError:
    made = libvirt.libvirtError("x")
    made.err = (code, 0, "x", 0, "", "", "", 0, 0)
    return made


class Listed:
    """A domain or network: its XML, or the code that libvirt answers with."""

    def __init__(self, answer: str | int) -> None:
        self.answer = answer

    def XMLDesc(self, flags: int = 0) -> str:
        if isinstance(self.answer, int):
            raise error(self.answer)
        return self.answer

    def isActive(self) -> bool:
        self.XMLDesc()
        return True


class Node:
    """As much of a node as listing needs."""

    def __init__(self, listed: list[Any]) -> None:
        self.connection = self
        self._listed = listed

    def listAllNetworks(self, flags: int) -> list[Any]:
        return self._listed

    def listAllStoragePools(self, flags: int) -> list[Any]:
        return self._listed


def test_a_domain_that_vanished_is_left_out() -> None:
    there, gone = Listed("<domain/>"), Listed(libvirt.VIR_ERR_NO_DOMAIN)
    assert [domain for domain, _ in devices.definitions([gone, there, gone])] == [there]
    with pytest.raises(libvirt.libvirtError):
        list(devices.definitions([Listed(libvirt.VIR_ERR_INTERNAL_ERROR)]))


class Volume:
    """A volume that is removed between its look-up and its reading."""

    def download(self, *_: Any) -> None:
        raise error(libvirt.VIR_ERR_NO_STORAGE_VOL)

    info = download


class Pool:
    """As much of a pool as the look-up of a sidecar needs."""

    def storageVolLookupByName(self, _: str) -> Volume:
        return Volume()

    def connect(self) -> Pool:
        return self

    def newStream(self, _: int) -> None:
        return None


def test_a_sidecar_that_vanished_is_none() -> None:
    pool: Any = Pool()
    assert volume_record.get(pool, "v") is None


def test_a_network_that_vanished_is_left_out() -> None:
    there, gone = Listed("<network/>"), Listed(libvirt.VIR_ERR_NO_NETWORK)
    node: Any = Node([gone, there])
    assert [network for network, _ in NetworkApi(node).definitions()] == [there]
    broken: Any = Node([Listed(libvirt.VIR_ERR_INTERNAL_ERROR)])
    with pytest.raises(libvirt.libvirtError):
        list(NetworkApi(broken).definitions())


class ListedPool(Listed):
    """A pool that has a name and an id whatever happened to it."""

    def name(self) -> str:
        return "theirs"

    def UUIDString(self) -> str:
        return "00000000-0000-0000-0000-000000000001"


def test_a_pool_that_vanished_is_in_nobodys_way() -> None:
    spec = StoragePool(name="ours", path="/srv/ours")
    node: Any = Node([ListedPool(libvirt.VIR_ERR_NO_STORAGE_POOL)])
    StoragePools(node)._refuse_taken(spec, "00000000-0000-0000-0000-000000000002")
    there: Any = Node([ListedPool("<pool><target><path>/srv/ours/</path></target></pool>")])
    with pytest.raises(NameTaken, match='the folder of the storage pool "theirs"'):
        StoragePools(there)._refuse_taken(spec, "00000000-0000-0000-0000-000000000002")


@pytest.mark.parametrize(("answer", "found"), [("<pool/>", "seen"), (libvirt.VIR_ERR_NO_STORAGE_POOL, None)])
def test_a_pool_that_was_stopped_is_asked_again_when_it_runs(answer: str | int, found: str | None) -> None:
    pool: Any = ListedPool(answer)
    answers: list[Any] = [libvirt.VIR_ERR_OPERATION_INVALID, "seen"]

    def ask() -> str:
        said = answers.pop(0)
        if isinstance(said, int):
            raise error(said)
        return str(said)

    assert unless_lost(pool, ask) == found


def test_a_guest_that_is_gone_does_not_run() -> None:
    assert guest.is_active(Listed("<domain/>"))
    assert not guest.is_active(Listed(libvirt.VIR_ERR_NO_DOMAIN))
    with pytest.raises(libvirt.libvirtError):
        guest.is_active(Listed(libvirt.VIR_ERR_NO_CONNECT))
