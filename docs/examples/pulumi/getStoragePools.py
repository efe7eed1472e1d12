import pulumi
import pulumi_jvp as jvp

running = jvp.get_storage_pools_output(state="running")
pulumi.export("room", running.storage_pools.apply(lambda found: {pool.name: pool.available_bytes for pool in found}))
