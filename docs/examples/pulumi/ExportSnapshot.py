import pulumi_jvp as jvp

# What the instance had then, while it runs on.
before = jvp.Snapshot("before-upgrade", instance="web")
export = jvp.ExportSnapshot("web", snapshot=before.id, path="web.qcow2")
