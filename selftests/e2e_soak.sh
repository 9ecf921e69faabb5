#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_soak.sh [jitter|loss:on|off]... - equal replicas, all kinds of traffic at once, a bad link between the hosts.
#
# Each word is a link and whether segments are joined (GSO, GRO) or not, for $KCOLO_E2E_SECONDS (10); without words it is all four.
# Jitter alone asks for nothing. With loss besides, what nobody repeats is asked for, once each: datagrams and resets.
. "$(dirname "$(realpath "$0")")/lib.sh"

seconds=${KCOLO_E2E_SECONDS:-10}

offload() { # on|off
	local ns dev
	for dev in cl:eth0 pv:eth0 sv:eth0 ph:uplink ph:vm ph:peer sh:peer sh:vm; do
		ns=${dev%:*} dev=${dev#*:}
		at "$ns" ethtool -K "$dev" gso "$1" tso "$1" gro "$1" 2>/dev/null
	done
	return 0
}

# What the link between the hosts loses of the secondary the primary's client never gets, and nobody repeats a datagram: with loss
# a question may stay without an answer. How many were lost is counted at the link (lossy_link) and compared with what was asked.
dig_one() { # IP-VERSION
	echo "dig +short +tries=1 +time=${wait:-30} @${GUEST[$1]} x.a.test | grep -qx 192.0.2.1 ${lossy:+|| true}"
}

ping_some() { # IP-VERSION
	echo "ping -q -$1 -n -c 10 -i 0.05 -W ${wait:-30} -s 1000 ${lossy:+-w 4} ${GUEST[$1]} ${lossy:+|| true}"
}

start_all() {
	local v
	rm -f "$TMP/stop"
	for v in 4 6; do
		loop "http$v" curl -sSf --max-time 60 "http://${URL[$v]}/file" -o "$TMP/got$v"
		loop "put$v" curl -sSf --max-time 60 -T "$files/file" "http://${URL[$v]}/put/file$v"
		loop "redis$v" timeout 60 redis-benchmark -h "${GUEST[$v]}" -q -c 1 -n 50 -t ping,set,get
		loop "echo$v" replica client "${GUEST[$v]}" 7000 echo 20 100 --timeout 30
		loop "dns$v" sh -c "$(dig_one "$v")"
		loop "ping$v" sh -c "$(ping_some "$v")"
	done
}

stop_all() { # WORDS
	local v what
	sleep "$seconds"
	touch "$TMP/stop"
	for v in 4 6; do
		for what in http put redis echo dns ping; do
			check "$1 IPv$v: $what" reap "$what$v" || tail -n 3 "$TMP/$what$v.out" | note
			note "$(tail -n 1 "$TMP/$what$v.out") times"
		done
	done
}

asked() {
	echo "requests $(ctr ph requests) miscompares $(ctr ph miscompares) timeouts $(ctr ph timeouts)"
	[ "$(ctr ph miscompares)" = 0 ] && [ "$(ctr ph requests)" = 0 ]
}

# Loss, apart for what nobody repeats, so that it is counted: datagrams and resets.
lossy_link() { # NETNS DEV
	tc -n "$1" qdisc replace dev "$2" root handle 1: prio bands 2 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
	tc -n "$1" qdisc add dev "$2" parent 1:1 handle 11: netem limit 10000 delay 3ms 2ms loss 1%
	tc -n "$1" qdisc add dev "$2" parent 1:2 handle 12: netem limit 10000 delay 3ms 2ms loss 1%
	local proto prio=1
	for proto in ip ipv6; do
		tc -n "$1" filter add dev "$2" parent 1: protocol "$proto" prio $((prio++)) flower ip_proto tcp tcp_flags 0x4/0x4 classid 1:2
		tc -n "$1" filter add dev "$2" parent 1: protocol "$proto" prio $((prio++)) flower ip_proto tcp classid 1:1
		tc -n "$1" filter add dev "$2" parent 1: protocol "$proto" prio $((prio++)) matchall classid 1:2
	done
}

lost() { # NETNS DEV
	tc -n "$1" -s qdisc show dev "$2" | sed -n '/netem 12:/,/backlog/s/.*dropped \([0-9]*\).*/\1/p'
}

asked_at_most() { # TIMEOUTS-BEFORE
	local n asked
	n=$(($(lost ph peer) + $(lost sh peer)))
	asked=$(($(ctr ph timeouts) - $1))
	echo "timeouts $asked requests $(ctr ph requests) miscompares $(ctr ph miscompares) lost $n"
	# What is broken off counts as a request once more, so those are not counted here.
	[ "$(ctr ph miscompares)" = 0 ] && [ "$asked" -le "$n" ]
}

# Nobody is here who would make a checkpoint; one that is broken off is an answer, too, and keeps the wish open.
answer() {
	while sleep 2; do
		kcolo -n ph pair checkpoint "$PAIR" begin && kcolo -n ph pair checkpoint "$PAIR" abort
	done >/dev/null 2>&1
}

topo_up
cable || not_ok "the link between the hosts copies"
pair_up timeout $((5000 * ${KCOLO_TEST_SCALE:-1}))
files=$TMP/files
mkdir -p "$files"
head -c 300000 /dev/urandom >"$files/file"
for ns in pv sv; do
	server $ns
	nginx_up $ns "$files"
	redis_up $ns
	dns_up $ns
done

jitter() { # on|off
	lossy='' wait=30
	impair peer to-primary delay 5ms 3ms
	impair peer to-secondary delay 5ms 3ms
	start_all
	stop_all "R6 R8 jitter, offloads $1"
	impair_none
	check "R7 jitter, offloads $1: no difference, no request" asked
	clean "bad links"
}

loss() { # on|off
	local before
	before=$(ctr ph timeouts)
	lossy=1 wait=1
	lossy_link ph peer
	lossy_link sh peer
	answer &
	answering=$!
	start_all
	stop_all "R12 R15 jitter and loss, offloads $1"
	# The last ones are overdue only now.
	sleep 7
	kill "$answering"
	wait "$answering" 2>/dev/null
	check "R7 jitter and loss, offloads $1: no difference, no more requests than losses" asked_at_most "$before"
	note "$(grep lost "$TMP/check.out")"
	impair_none
}

[ $# -gt 0 ] || set -- {jitter,loss}:{on,off}
for how; do
	offload "${how#*:}"
	${how%:*} "${how#*:}"
done
kcolo -n ph pair failover "$PAIR"
check "F2 what waits for lost datagrams leaves" wait_for 5 nothing_held
check "counters balance" balanced
finish
