import pulumi_jvp as jvp

# The root disk of an instance that is off.
export = jvp.ExportInstance("golden", instance="golden", path="golden.qcow2", format="qcow2")
