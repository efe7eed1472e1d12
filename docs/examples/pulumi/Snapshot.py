import pulumi
import pulumi_jvp as jvp

web = jvp.Instance("web", template="lab/debian")
# Taken once: change the number for another one.
before = jvp.Snapshot("before-upgrade", instance=web.id, name="before-upgrade-7", quiesce="required")
pulumi.export("takenAt", before.created_at)
