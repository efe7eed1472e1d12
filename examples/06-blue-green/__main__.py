"""Ten instances, five blue and five green. One colour runs; the other one is off until it is made from something newer.

    pulumi config set green lab/debian-new && pulumi up    # the green ones are made anew; the blue ones run on
    pulumi config set live green && pulumi up              # and back by `live blue`

To go back takes no more than a start: nobody touches what is off.
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
live = config.require("live")

for colour in ("blue", "green"):
    for number in range(1, 6):
        name = f"{colour}{number}"
        jvp.Instance(
            name,
            name=f"{prefix}-{name}",
            template=config.require(colour),
            memory=config.require("memory"),
            nics=[{"name": "eth0", "network": config.require("network")}],
            power_state="running" if colour == live else "stopped",
        )

pulumi.export("live", live)
