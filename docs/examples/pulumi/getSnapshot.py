import pulumi
import pulumi_jvp as jvp

before = jvp.get_snapshot_output(snapshot="web/before-upgrade-7")
pulumi.export("follows", before.parent)
