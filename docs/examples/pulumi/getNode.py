import pulumi
import pulumi_jvp as jvp

node = jvp.get_node_output()
pulumi.export("freeMemoryGiB", node.free_memory_bytes.apply(lambda count: count // 1024**3))
