import pulumi
import pulumi_jvp as jvp

alpha = jvp.Provider("alpha", uri="qemu+ssh://root@alpha/system", timeouts={"create": "20m"})
lan = jvp.Network("lan", cidr="10.20.30.0/24", opts=pulumi.ResourceOptions(provider=alpha))
