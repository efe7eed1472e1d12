#!/bin/sh
# Ten instances, five blue and five green. One colour runs; the other one is off until it is made from something newer.
#
#   BLUE=lab/debian GREEN=lab/debian LIVE=blue sh blue-green.sh
#   jvp instance delete $(jvp instance list --name 'shop-green*' -o name)    # they are made anew below
#   BLUE=lab/debian GREEN=lab/debian-new LIVE=green sh blue-green.sh         # and back by LIVE=blue
set -eu

# One document for each instance.
documents() {
    for colour in blue green; do
        template=$BLUE state=stopped
        [ "$colour" = blue ] || template=$GREEN
        [ "$colour" != "$LIVE" ] || state=running
        for number in 1 2 3 4 5; do
            cat <<END
---
kind: Instance
name: ${PREFIX:-shop}-$colour$number
properties:
  template: $template
  memory: ${MEMORY:-512MiB}
  nics: [{name: eth0, network: ${NETWORK:-default}}]
  powerState: $state
END
        done
    done
}

documents | jvp apply -f -
