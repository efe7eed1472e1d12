import pulumi
import pulumi_jvp as jvp

gateway = jvp.get_instance_output(instance="gateway")
pulumi.export("gatewayAddress", gateway.ip_address)
