"""The resources as Pulumi dynamic providers, for programs that can install no plugin: `pip install pulumi-jvp` is all.

    from jvp import dynamic as jvp                   in the place of `import pulumi_jvp as jvp`

    jvp.Network("lan", cidr="10.20.0.0/24")          the same classes, functions, arguments and outputs

The settings are the stack's own: `pulumi config set jvp:uri qemu+ssh://root@host/system`. docs/install.md says
what this form cannot do: import, explicit providers, outputs in previews, drift without `--refresh`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi_jvp import (
        ExportInstance,
        ExportSnapshot,
        ExportVolume,
        Firewall,
        Instance,
        Network,
        RefreshStoragePool,
        RestartInstance,
        Rollback,
        Snapshot,
        StoragePool,
        Template,
        Volume,
        get_firewall,
        get_firewall_output,
        get_firewalls,
        get_firewalls_output,
        get_instance,
        get_instance_console,
        get_instance_console_output,
        get_instance_metrics,
        get_instance_metrics_output,
        get_instance_output,
        get_instance_screenshot,
        get_instance_screenshot_output,
        get_instance_xml,
        get_instance_xml_output,
        get_instances,
        get_instances_output,
        get_network,
        get_network_leases,
        get_network_leases_output,
        get_network_output,
        get_networks,
        get_networks_output,
        get_node,
        get_node_output,
        get_snapshot,
        get_snapshot_output,
        get_snapshots,
        get_snapshots_output,
        get_storage_pool,
        get_storage_pool_output,
        get_storage_pools,
        get_storage_pools_output,
        get_template,
        get_template_output,
        get_template_search,
        get_template_search_output,
        get_templates,
        get_templates_output,
        get_volume,
        get_volume_output,
        get_volumes,
        get_volumes_output,
    )
else:
    from jvp.doors.dynamic.functions import FUNCTIONS
    from jvp.doors.dynamic.resources import CLASSES

    globals().update(CLASSES | FUNCTIONS)

    def __getattr__(name: str) -> object:
        raise AttributeError(
            f"{name} is not in jvp.dynamic, which has the resources and functions alone: explicit providers and types "
            "are in pulumi_jvp, with the plugin (jvp pulumi install)"
        )


__all__ = [
    "ExportInstance",
    "ExportSnapshot",
    "ExportVolume",
    "Firewall",
    "Instance",
    "Network",
    "RefreshStoragePool",
    "RestartInstance",
    "Rollback",
    "Snapshot",
    "StoragePool",
    "Template",
    "Volume",
    "get_firewall",
    "get_firewall_output",
    "get_firewalls",
    "get_firewalls_output",
    "get_instance",
    "get_instance_console",
    "get_instance_console_output",
    "get_instance_metrics",
    "get_instance_metrics_output",
    "get_instance_output",
    "get_instance_screenshot",
    "get_instance_screenshot_output",
    "get_instance_xml",
    "get_instance_xml_output",
    "get_instances",
    "get_instances_output",
    "get_network",
    "get_network_leases",
    "get_network_leases_output",
    "get_network_output",
    "get_networks",
    "get_networks_output",
    "get_node",
    "get_node_output",
    "get_snapshot",
    "get_snapshot_output",
    "get_snapshots",
    "get_snapshots_output",
    "get_storage_pool",
    "get_storage_pool_output",
    "get_storage_pools",
    "get_storage_pools_output",
    "get_template",
    "get_template_output",
    "get_template_search",
    "get_template_search_output",
    "get_templates",
    "get_templates_output",
    "get_volume",
    "get_volume_output",
    "get_volumes",
    "get_volumes_output",
]
