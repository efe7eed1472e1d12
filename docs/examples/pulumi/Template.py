import pulumi_jvp as jvp

debian = jvp.Template(
    "debian",
    pool="lab",
    os="debian-12",
    source={
        "url": "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
        "checksum": "sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
    },
)
