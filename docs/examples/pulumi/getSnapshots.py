import pulumi
import pulumi_jvp as jvp

# The oldest first, also those of virsh.
of_web = jvp.get_snapshots_output(instance="web", details=True)
pulumi.export("snapshots", of_web.snapshots.apply(lambda found: {one.name: one.created_at for one in found}))
