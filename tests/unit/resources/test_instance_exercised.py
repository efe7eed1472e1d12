"""Every declared property is in the drift table; those with XML are in the golden files and the round trips too."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract import drift
from tests.unit.resources import test_instance_model, test_instance_xml, test_network_model, test_network_xml

from jvp.core.model import Spec, fields
from jvp.resources.instance.model import Instance
from jvp.resources.network.model import Network
from jvp.resources.storage_pool import StoragePool
from jvp.resources.template import Template
from jvp.resources.volume import Volume

OURS = {
    "rootDisk.deleteWithInstance",
    "shutdownTimeout",
    "updatePolicy",
    "waitFor",
    "waitTimeout",
    "powerState",
    "autostart",
    "active",
}
"""What is no part of the XML: switches of libvirt's and settings of our own."""


def leaves(model: type[Spec]) -> set[str]:
    """Every property below, nested ones as `nics.mac`."""
    found = set()
    for name, facts in fields(model).items():
        nested = leaves(facts.item) if facts.item is not None else set()
        found |= {f"{name}.{one}" for one in nested} or {name}
    return found


def said(raw: Any, prefix: str = "") -> set[str]:
    """Every property that a declaration says."""
    if isinstance(raw, list):
        return set().union(*(said(item, prefix) for item in raw)) if raw and isinstance(raw[0], dict) else {prefix}
    if isinstance(raw, dict):
        return set().union(*(said(value, f"{prefix}.{name}".strip(".")) for name, value in raw.items()))
    return {prefix}


@pytest.mark.parametrize(
    ("model", "golden", "full"),
    [
        (Network, test_network_xml.GOLDEN, test_network_model.FULL),
        (Instance, test_instance_xml.GOLDEN, test_instance_model.FULL),
    ],
)
def test_models_and_golden_files(model: type[Spec], golden: dict[str, dict[str, Any]], full: dict[str, Any]) -> None:
    declared = leaves(model)
    exclusive = {"cloudInit.userData"}  # cannot stand beside the rest of cloudInit
    assert said(full) >= declared - exclusive
    shown = set().union(*(said(raw) for raw in golden.values()))
    top = {one for one in declared if not {one, one.partition(".")[0]} & (OURS | {"cloudInit"})}
    assert shown >= top
    assert {"cloudInit.hostname"} <= shown or model is Network


@pytest.mark.parametrize(
    ("model", "table", "exempt"),
    [
        (Network, drift.NETWORK, drift.NETWORK_NOT_READ),
        (Instance, drift.INSTANCE, drift.INSTANCE_NOT_READ),
        (StoragePool, drift.POOL, drift.POOL_NOT_READ),
        (Volume, drift.VOLUME, drift.VOLUME_NOT_READ),
        (Template, [], drift.TEMPLATE_NOT_READ),
    ],
)
def test_drift(model: type[Spec], table: list[drift.Drift], exempt: dict[str, str]) -> None:
    exercised = {one.property for one in table}
    assert exercised | set(exempt) == set(fields(model))
    assert not exercised & set(exempt)
    assert all(exempt.values())
