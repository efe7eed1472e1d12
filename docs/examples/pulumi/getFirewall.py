import pulumi
import pulumi_jvp as jvp

web = jvp.get_firewall_output(firewall="web")
pulumi.export("behindIt", web.instances)
