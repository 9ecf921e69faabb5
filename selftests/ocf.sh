#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# ocf.sh - the resource agent on both hosts of a pair: what resource-agents' own tester says, and what each role may become.
. "$(dirname "$(realpath "$0")")/lib.sh"

export KCOLO_RUN=$TMP OCF_ROOT=/usr/lib/ocf HA_RSCTMP=$TMP
# The tester calls it as nobody, too, who has to be able to read it.
agent=$TMP/agent
install -m 755 "$REPO/tools/ocf/kcolo" "$agent"
chmod 755 "$TMP"

topo_up
pair_up
ip -n sh addr add 192.0.2.2/24 dev lo
for ns in ph sh; do
	printf '%s\n' "pair $PAIR" "qmp $TMP/$ns.qmp" "migration $TMP/$ns.migration" "peer 192.0.2.1 7010" "listen 192.0.2.2 7010" \
		>"$TMP/$ns.kcolod"
done

# agent HOST ACTION
act() {
	OCF_RESKEY_name=$TMP/$1.kcolod OCF_RESOURCE_INSTANCE=kcolo at "$1" "$agent" "$2"
}

# status_of STATUS COMMAND...
status_of() {
	local want=$1 got=0; shift
	"$@" || got=$?
	echo "status $got, should be $want"
	[ "$got" = "$want" ]
}

check "ocf-tester, primary" at ph timeout 60 ocf-tester -n kcolo -o "name=$TMP/ph.kcolod" "$agent"
check "not running" status_of 7 act sh monitor
check "start" act sh start
check "it runs, not promoted" status_of 0 act sh monitor
check "F1 a secondary without COLO cannot be promoted" status_of 1 act sh promote
check "and has not failed over" in_state sh running
kill -9 "$(cat "$TMP/kcolod-sh.pid")"
check "a daemon that died is not running" wait_for 2 status_of 7 act sh monitor
check "stop of what does not run" act sh stop
mv "$TMP/sh.kcolod" "$TMP/gone"
check "no file: not installed" status_of 5 act sh start
finish
