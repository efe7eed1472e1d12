import pulumi_jvp as jvp

web = jvp.Firewall(
    "web",
    rules=[
        {"name": "http", "protocol": "tcp", "ports": ["80", "443"]},
        {"name": "ssh", "protocol": "tcp", "ports": ["22"], "cidr": "10.20.30.0/24"},
        {"name": "no-mail", "direction": "out", "action": "reject", "protocol": "tcp", "ports": ["25"]},
    ],
)
