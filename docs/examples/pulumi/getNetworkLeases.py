import pulumi
import pulumi_jvp as jvp

default = jvp.get_network_leases_output(network="default")
pulumi.export("addressesByMac", default.leases.apply(lambda leases: {one.mac: one.address for one in leases}))
