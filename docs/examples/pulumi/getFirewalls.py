import pulumi
import pulumi_jvp as jvp

ours = jvp.get_firewalls_output(ours=True)
pulumi.export("firewalls", ours.firewalls.apply(lambda found: [firewall.name for firewall in found]))
