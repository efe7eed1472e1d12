#!/bin/sh
# A golden image and what is made from it: boot, provision, snapshot, template, fleet.
#
#   POOL=lab TEMPLATE=lab/debian sh golden-image.sh
set -eu

prefix=${PREFIX:-golden}
nic=name=eth0,network=${NETWORK:-default}
memory=${MEMORY:-512MiB}

# The agent comes last: once it answers, the image is done.
jvp instance create "$prefix-builder" --template "$TEMPLATE" --memory "$memory" --nic "$nic" \
    --wait-for "${WAIT:-agent}" --wait-timeout 15m --cloud-init @- <<'END'
userData: |
  #cloud-config
  runcmd:
  - apt-get update && apt-get -y install nginx && truncate -s 0 /etc/machine-id
  - apt-get -y install qemu-guest-agent && systemctl start qemu-guest-agent
END

jvp snapshot create "$prefix-builder/v1"
jvp template create "$POOL/$prefix-golden" --source "snapshot=$prefix-builder/v1"

for number in 1 2 3; do
    jvp instance create "$prefix-web$number" --template "$POOL/$prefix-golden" --memory "$memory" --nic "$nic" \
        --cloud-init "hostname=web$number"
done
