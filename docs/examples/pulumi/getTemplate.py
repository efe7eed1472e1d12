import pulumi
import pulumi_jvp as jvp

base = jvp.get_template_output(template="default/base")
pulumi.export("standsOnBase", base.users)
