import pulumi
import pulumi_jvp as jvp

gateway = jvp.get_instance_xml_output(instance="gateway")
pulumi.export("gatewayXml", gateway.persistent)
