#!/bin/sh
# A database whose data volume outlives its instance.
#
#   POOL=lab TEMPLATE=lab/debian sh database.sh
#   POOL=lab TEMPLATE=lab/debian-new sh database.sh     # the instance is made anew, with the volume as it was
set -eu

prefix=${PREFIX:-database}

# What an earlier run made: the volume stays as it is, and the instance goes.
if [ -z "$(jvp volume list --pool "$POOL" --name "$prefix-data" -o name)" ]; then
    jvp volume create "$POOL/$prefix-data" --size "${SIZE:-10GiB}"
elif [ -n "$(jvp instance list --name "$prefix-db" -o name)" ]; then
    jvp instance delete "$prefix-db"
fi

# The first boot formats an empty disk; a later one finds the file system and leaves it alone.
jvp instance create "$prefix-db" --template "$TEMPLATE" --memory "${MEMORY:-512MiB}" \
    --disk "name=data,volume=$POOL/$prefix-data,serial=data" --nic "name=eth0,network=${NETWORK:-default}" \
    --wait-for "${WAIT:-ip}" --cloud-init @- <<'END'
userData: |
  #cloud-config
  fs_setup: [{device: /dev/disk/by-id/virtio-data, filesystem: ext4, overwrite: false}]
  mounts: [[/dev/disk/by-id/virtio-data, /var/lib/postgresql]]
  packages: [postgresql]
END
