import pulumi_jvp as jvp

# With another number the guest is shut down and started again.
restart = jvp.RestartInstance("web", instance="web", timeout="2m", triggers={"kernel": "6.12.3"})
