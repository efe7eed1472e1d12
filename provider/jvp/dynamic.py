"""The resources as Pulumi dynamic providers, for programs that can install no plugin: `pip install pulumi-jvp` is all.

    from jvp import dynamic as jvp                   in the place of `import pulumi_jvp as jvp`

    jvp.Network("lan", cidr="10.20.0.0/24")          the same classes, arguments and outputs

The settings are the stack's own: `pulumi config set jvp:uri qemu+ssh://root@host/system`. docs/install.md says
what this form cannot do: import, functions, explicit providers, outputs in previews, drift without `--refresh`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi_jvp import Instance, Network, RefreshStoragePool, RestartInstance, StoragePool, Template, Volume
else:
    from jvp.doors.dynamic.resources import CLASSES

    globals().update(CLASSES)

    def __getattr__(name: str) -> object:
        raise AttributeError(
            f"{name} is not in jvp.dynamic, which has the resources alone: functions, explicit providers and types are "
            "in pulumi_jvp, with the plugin (jvp pulumi install)"
        )


__all__ = ["Instance", "Network", "RefreshStoragePool", "RestartInstance", "StoragePool", "Template", "Volume"]
