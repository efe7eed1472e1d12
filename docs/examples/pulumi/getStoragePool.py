import pulumi
import pulumi_jvp as jvp

default = jvp.get_storage_pool_output(storage_pool="default")
pulumi.export("roomInDefault", default.available_bytes)
