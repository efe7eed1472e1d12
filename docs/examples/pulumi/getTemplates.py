import pulumi
import pulumi_jvp as jvp

debian = jvp.get_templates_output(name="debian-*")
pulumi.export("debian", debian.templates.apply(lambda found: [template.name for template in found]))
