#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_rounds.sh - for $KCOLO_E2E_SECONDS (180; three rounds at least): all kinds of traffic, connections that come and go, checkpoints,
# and at the end of each round the primary's host dies and comes back.
#
# All the time every packet is accounted for, and no round leaves anything behind: what the kernel needs after the last one is what it
# needed after the second. Every other round has jitter between the hosts. In a guest whose clock skips what nobody needs ("vm/run --append
# time-travel=inf-cpu") hours take their computing time alone.
. "$(dirname "$(realpath "$0")")/lib.sh"

seconds=${KCOLO_E2E_SECONDS:-180}
scale=${KCOLO_TEST_SCALE:-1}
links=(ph:peer sh:peer)
# What lives as long as a round; what asks again and again and keeps nothing, and so may go on in a checkpoint; what may not, for
# only the test's own server can be copied; and connections that each end in another way.
streams=({get,put,both,echo}{4,6})
askers=({dns,ping}{4,6})
loops=({http,upload,redis}{4,6})
ends=({short,early,half,reset}{4,6})
# shellcheck disable=SC2034 # loop() reads it
pause=10
opens=30 epoch=0 rounds=0 connections=0 repeats=0
declare -A total=()

# ---- what goes on

streams_start() {
	local v c
	for v in 4 6; do
		c=(replica client "${GUEST[$v]}" 7000)
		bg get$v cl "${c[@]}" get 4500k --rate 20000 --timeout 60
		bg put$v cl "${c[@]}" put 4500k --rate 20000 --timeout 60
		bg both$v cl "${c[@]}" both 4500k 4500k --rate 20000 --timeout 60
		bg echo$v cl "${c[@]}" echo 500 400 --timeout 60
	done
}

askers_start() {
	local v
	rm -f "$TMP/stop"
	for v in 4 6; do
		loop dns$v sh -c "dig +short +tries=5 +time=2 @${GUEST[$v]} x.a.test | grep -qx 192.0.2.1"
		loop ping$v ping -q -$v -n -c 5 -i 0.1 -W 5 -s 1000 "${GUEST[$v]}"
	done
}

# What the guest opens it opens on both hosts, so these are counted.
guest_opens() { # NETNS IP-VERSION
	# shellcheck disable=SC2016 # the inner shell knows
	bg "opens$2.$1" "$1" bash -c 'for ((i = 0; i < $3; i++)); do replica client "$1" 7000 get 2k --sport $(($2 + i)) --timeout 60 || exit; done' \
		- "${CLIENT[$2]}" $((10000 + (epoch * 2 + $2 / 6) * opens % 20000)) $opens
}

mix_start() {
	local v c again=(--repeat 1000000 --pause 1000 --timeout 60)
	rm -f "$TMP/stop"
	for v in 4 6; do
		loop http$v curl -sSf --max-time 60 "http://${URL[$v]}/file" -o "$TMP/got$v"
		loop upload$v curl -sSf --max-time 60 -T "$TMP/files/file" "http://${URL[$v]}/put/file$v"
		loop redis$v timeout 60 redis-benchmark -h "${GUEST[$v]}" -q -c 1 -n 20 -t ping,set,get
		c=(replica client "${GUEST[$v]}" 7000)
		bg short$v cl "${c[@]}" get 2k "${again[@]}"
		bg early$v cl "${c[@]}" both 2k 2k --early-fin "${again[@]}"
		bg half$v cl "${c[@]}" put 2k --half-close "${again[@]}"
		bg reset$v cl "${c[@]}" get 20k --rst-at 10k "${again[@]}"
		guest_opens pv $v
		guest_opens sv $v
	done
}

ended() { # NAME
	local status=0
	reap "$1" || status=$?
	connections=$((connections + 1))
	[ $status != 0 ] || return 0
	echo "$1: exit status $status"
	cat "$TMP/$1.out" "$TMP/$1.err"
	return 1
}

all_ended() { # NAME...
	local name well=0
	for name; do ended "$name" || well=1; done
	return $well
}

# hurry NAME...: these come to an end now.
hurry() {
	local name
	for name; do kill -USR1 "${PID[$name]}"; done
}

count_ends() {
	local name n
	for name in "${ends[@]}"; do
		n=$(sed -n 's/.* conns=\([0-9]*\).*/\1/p' "$TMP/$name.out")
		connections=$((connections + n - 1))
	done
	for name in "${loops[@]}"; do repeats=$((repeats + $(tail -n 1 "$TMP/$name.out"))); done
}

# In the last part of a round the other half of what the guest opens is gone with its host.
mix_end() { # HOST...
	local ns
	touch "$TMP/stop"
	hurry "${ends[@]}"
	all_ended "${loops[@]}" "${ends[@]}" "${askers[@]}" || return
	for ns; do all_ended opens{4,6}."$ns" || return; done
	count_ends
}

# ---- what happens

all_is_well() {
	local -A n
	eval "n=$(ctrs ph)"
	balanced && in_state ph running && [ "${n[requests]} ${n[miscompares]} ${n[timeouts]}" = "0 0 0" ] && return
	kcolo -n ph -s pair show
	return 1
}

# The askers go on meanwhile.
checkpoint() {
	epoch=$((epoch + 1))
	askers_start
	sleep 1
	checkpoint_real $epoch || return
	sleep 1
	touch "$TMP/stop"
	all_ended "${askers[@]}"
}

part() {
	mix_start
	askers_start
	sleep $((40 * scale))
	mix_end pv sv && all_is_well
}

last_part() {
	local name
	mix_start
	askers_start
	sleep $((5 * scale))
	for name in "${streams[@]}"; do running "$name" || { echo "$name has ended before"; return 1; }; done
	all_is_well || return
	add_up
	cut_primary
	stop opens{4,6}.pv
	kcolo -n sh pair failover "$PAIR" && takeover || return
	sleep $((5 * scale))
	mix_end sv || return
	hurry "${streams[@]}"
	all_ended "${streams[@]}"
}

add_up() {
	local name
	local -A n
	eval "n=$(ctrs ph)"
	for name in primary_packets hold secondary_packets compared_bytes compared_datagrams flows_opened checkpoints; do
		total[$name]=$((${total[$name]:-0} + n[$name]))
	done
}

impair_links() {
	local dev
	for dev in "${links[@]}"; do
		if [ $((rounds % 2)) = 0 ]; then
			tc -n "${dev%:*}" qdisc del dev "${dev#*:}" root 2>/dev/null
		else
			tc -n "${dev%:*}" qdisc replace dev "${dev#*:}" root netem limit 10000 delay 5ms 3ms
		fi
	done
}

once() {
	# It remembers each connection.
	at cl nft 'flush set inet seen said; flush set inet seen heard; reset counters' >/dev/null
	impair_links
	epoch=0
	kcolo -n ph pair add "$PAIR" role primary vm vm peer peer timeout 60000 &&
	kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer || return
	streams_start
	for _ in 1 2 3; do
		part || return
		checkpoint || return
		all_is_well || return
	done
	last_part || return
	[ "$(client_saw resets)" = 0 ] || { echo "the client has seen $(client_saw resets) resets"; return 1; }
}

# ---- what is left of it

# Entries of conntrack, and KB: of slabs, and of memory in use; where the kernel tells, objects of the module.
memory() {
	local ns cache n=0
	sleep 5
	echo 3 >/proc/sys/vm/drop_caches
	# What lies in half-empty slabs is not in use.
	for cache in /sys/kernel/slab/*/shrink; do [ ! -e "$cache" ] || echo 1 >"$cache"; done
	for ns in ph sh; do n=$((n + $(at $ns cat /proc/sys/net/netfilter/nf_conntrack_count))); done
	echo "$n $(awk '/^(MemTotal|MemFree|Slab):/ { v[$1] = $2 } END { print v["Slab:"], v["MemTotal:"] - v["MemFree:"] }' /proc/meminfo)" \
		"$(awk '/^kcolo_/ { n += $2 } END { print n + 0 }' /proc/slabinfo 2>/dev/null)"
}

# Connections of the last two minutes are still in conntrack; the module has nothing while it has no pair.
flat() {
	local -a a b
	read -ra a <<<"${mem[2]}"
	read -ra b <<<"${mem[rounds]}"
	[ "${b[0]}" -le $((a[0] + 500)) ] && [ "${b[1]}" -le $((a[1] + 1024)) ] && [ "${b[2]}" -le $((a[2] + 8192)) ] && [ "${b[3]:-0}" -le 64 ]
}

topo_up
# A server that is far ahead of its client would end its side long before the round does, and be no copy that goes on.
for ns in cl pv sv; do at $ns sysctl -qw net.ipv4.tcp_{r,w}mem='4096 65536 262144'; done
mkdir -p "$TMP/files"
head -c 100000 /dev/urandom >"$TMP/files/file"
server cl
for ns in pv sv; do
	server $ns
	nginx_up $ns "$TMP/files"
	redis_up $ns
	dns_up $ns
done
start=$EPOCHSECONDS
while [ $rounds -lt 3 ] || [ $((EPOCHSECONDS - start)) -lt "$seconds" ]; do
	rounds=$((rounds + 1))
	name="C2 F1 round $rounds: nothing lost, no difference, every packet accounted for"
	if ! once >"$TMP/once.out" 2>&1; then
		note <"$TMP/once.out"
		not_ok "$name"
		break
	fi
	ok "$name"
	come_back >"$TMP/over.out" 2>&1 || { note <"$TMP/over.out"; not_ok "a new primary after round $rounds"; break; }
	rm -f "$TMP"/nginx.*/put/*
	mem[rounds]=$(memory)
	note "conntrack entries, KB of slabs, KB in use: ${mem[rounds]}"
done
note "$((EPOCHSECONDS - start)) s, $rounds rounds: $connections connections, $repeats other requests"
for name in "${!total[@]}"; do note "$name ${total[$name]}"; done
check "nothing grows: ${mem[2]:-} after the second round, ${mem[rounds]:-} after the last" flat
finish
