#!/bin/sh
# A snapshot before an upgrade, and back to it when that failed.
#
#   TEMPLATE=lab/debian UPGRADE='ssh admin@web sudo apt-get -y full-upgrade' sh upgrade.sh
set -eu

web=${PREFIX:-upgrade}-web
key=$(cat ~/.ssh/id_ed25519.pub 2>/dev/null || true)

jvp instance create "$web" --template "$TEMPLATE" --memory "${MEMORY:-512MiB}" \
    --nic "name=eth0,network=${NETWORK:-default}" --wait-for "${WAIT:-ip}" \
    --cloud-init "{users: [{name: admin, sudo: true, sshKeys: [${key:+"'$key'"}]}]}"

jvp snapshot create "$web/before-upgrade"

if sh -c "$UPGRADE"; then
    jvp snapshot delete "$web/before-upgrade" # what was written since is merged
else
    jvp instance rollback "$web" --to before-upgrade
fi
