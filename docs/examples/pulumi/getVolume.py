import pulumi
import pulumi_jvp as jvp

shared = jvp.get_volume_output(volume="default/shared.qcow2")
pulumi.export("usersOfShared", shared.attached_to)
