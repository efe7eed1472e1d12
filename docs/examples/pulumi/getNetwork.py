import pulumi
import pulumi_jvp as jvp

default = jvp.get_network_output(network="default")
pulumi.export("guestsOfDefault", default.instances)
