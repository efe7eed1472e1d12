import pulumi
import pulumi_jvp as jvp

metrics = jvp.get_instance_metrics_output(name="web-*")
pulumi.export("residentBytes", metrics.instances.apply(lambda found: {one.name: one.resident_bytes for one in found}))
