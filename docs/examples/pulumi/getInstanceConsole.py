import pulumi
import pulumi_jvp as jvp

console = jvp.get_instance_console_output(instance="gateway")
pulumi.export("terminals", console.texts.apply(lambda texts: [one.path for one in texts or ()]))
