import pulumi
import pulumi_jvp as jvp

unused = jvp.get_volumes_output(pool="default", attached=False)
pulumi.export("unused", unused.volumes.apply(lambda found: [volume.name for volume in found]))
