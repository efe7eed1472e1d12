import pulumi
import pulumi_jvp as jvp

theirs = jvp.get_networks_output(ours=False)
pulumi.export("notOurs", theirs.networks.apply(lambda found: [network.name for network in found]))
