import pulumi
import pulumi_jvp as jvp

screen = jvp.get_instance_screenshot_output(instance="gateway")
pulumi.export("hasScreen", screen.png.apply(lambda png: png is not None))
