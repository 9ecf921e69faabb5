#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_slow.sh - the secondary's application is slower than the primary's: the client is slowed down, and no queue overflows (R3).
. "$(dirname "$(realpath "$0")")/lib.sh"

size=2000000 rate=1000000

# nstat says how often a guest's kernel had no room for what came.
without_room() { # NETNS
	at "$1" nstat -asz TcpExtTCPRcvQDrop TcpExtPruneCalled TcpExtRcvPruned TcpExtTCPBacklogDrop TcpExtTCPZeroWindowDrop |
		awk '/Tcp/ { n += $2 } END { print n + 0 }'
}

sinks() { # RATE-OF-PRIMARY RATE-OF-SECONDARY
	local ns
	for ns in pv sv; do
		stop sink.$ns
		[ $ns = sv ] && shift
		bg sink.$ns $ns "$SELFTESTS/sink.py" serve 7100 "$1" 200000
		wait_for 5 open_at $ns
	done
}

open_at() {
	[ "$(ss -N "$1" -Hltn sport = 7100 | wc -l)" = 1 ]
}

# The upload takes at least nine tenths of the time that the slow one needs for what does not fit into its buffer.
slowed() {
	local t
	t=$(at cl "$SELFTESTS/sink.py" put "${GUEST[$1]}" 7100 "$size") || return
	echo "took $t s"
	note "IPv$1: took $t s"
	awk -v t="$t" -v least=$(((size - 400000) * 900 / rate)) 'BEGIN { exit !(t * 1000 >= least) }'
}

# One of three: the machine may stand still, and to wait for a slow guest takes longer each time.
fast() {
	at_once "$1" || at_once "$1" || at_once "$1"
}

at_once() {
	local t
	t=$(at cl "$SELFTESTS/sink.py" put "${GUEST[$1]}" 7100 "$size") || return
	echo "took $t s"
	awk -v t="$t" 'BEGIN { exit !(t < 1.2) }'
}

topo_up
pair_up timeout 20000
for v in 4 6; do
	sinks 0 0
	check "R3 IPv$v: both fast" fast $v
	sinks 0 $rate
	check "R3 IPv$v: a slow secondary slows the client down" slowed $v
	sinks $rate 0
	check "R3 IPv$v: so does a slow primary" slowed $v
done
check "R3 windows were clamped" test "$(ctr ph windows_clamped)" -gt 0
check "R3 no guest was sent more than it had room for" test "$(($(without_room pv) + $(without_room sv)))" = 0
check "R3 nothing overflowed" test "$(ctr ph overflow)$(ctr ph secondary_refused)$(ctr ph requests)" = 000
clean "slow"
finish
