#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kcolod.sh [-k WORD] - kcolod between a pair and two QEMUs that play their parts (kcolod.py), on two hosts.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# The migration channel has a link of its own.
link ph mig sh mig
ip -n ph addr add 192.0.2.1/24 dev mig
ip -n sh addr add 192.0.2.2/24 dev mig
export TMP PAIR SELFTESTS
cd "$TMP" || exit 1
python3 "$SELFTESTS/kcolod.py" "$@"
