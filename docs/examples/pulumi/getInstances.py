import pulumi
import pulumi_jvp as jvp

web = jvp.get_instances_output(state="running", name="web-*", details=True)
pulumi.export("webAddresses", web.instances.apply(lambda found: {one.name: one.ip_address for one in found}))
