import pulumi_jvp as jvp

# With another word the guest goes back to the snapshot, and what was written since is lost.
back = jvp.Rollback("upgrade-failed", snapshot="web/before-upgrade-7", triggers={"tried": "1"})
