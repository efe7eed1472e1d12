import pulumi_jvp as jvp

lan = jvp.Network(
    "lan",
    cidr="10.20.30.0/24",
    domain="lab.example",
    dhcp={"start": "10.20.30.100", "end": "10.20.30.199"},
    reservations=[{"name": "printer", "mac": "52:54:00:aa:bb:01", "address": "10.20.30.10"}],
)
