#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# cost-guest.sh [per_path|with_flows|with_pairs|with_cpus|with_commits] - inside a VM (see cost, run): what a packet costs; into $KCOLO_OUT/cost.
#
#   {far: c v x y m n q e w, the far ends}
#   {ph [br0: uplink vm foreign1 foreign2] [brx: m1 n1] [brp: peer]}    {sh [br1: peer vm]}
. "$(dirname "$(realpath "$0")")/../lib.sh"

set -o pipefail
ROUNDS=${KCOLO_COST_ROUNDS:-401}
OUT=$KCOLO_OUT/cost
NETNS=(far ph sh)

# port FAR NETNS NAME BRIDGE
port() {
	ip link add name "$1" netns far type veth peer name "$3" netns "$2"
	ip -n far link set dev "$1" up arp off
	ip -n "$2" link set "$3" master "$4" up
}

# rule NETNS TABLE HOOK PRIORITY RULE...
rule() {
	local ns=$1 table=$2 hook=$3 priority=$4; shift 4
	at "$ns" nft add table inet "$table"
	at "$ns" nft "add chain inet $table it { type filter hook $hook priority $priority; }"
	at "$ns" nft add rule inet "$table" it "$@"
}

set_up() {
	local ns bridge
	for ns in far ph sh; do
		ip netns add $ns
		at $ns sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	done
	for bridge in ph:br0 ph:brx ph:brp sh:br1; do
		ip -n ${bridge%:*} link add ${bridge#*:} up type bridge mcast_snooping 0
	done
	port c ph uplink br0; port v ph vm br0; port x ph foreign1 br0; port y ph foreign2 br0
	port m ph m1 brx; port n ph n1 brx; port q ph peer brp
	port e sh peer br1; port w sh vm br1
	# Whoever uses conntrack switches it on; bridged packets do not come through this hook.
	for ns in ph sh; do
		rule $ns conntrack input 0 ct state new
		at $ns sysctl -qw net.netfilter.nf_conntrack_checksum=0 net.netfilter.nf_conntrack_tcp_be_liberal=1
		at $ns sysctl -qw net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0
	done
}

nf_call() {
	local bridge
	for bridge in ph:br0 ph:brp sh:br1; do
		ip -n ${bridge%:*} link set ${bridge#*:} type bridge nf_call_iptables "$1" nf_call_ip6tables "$1"
	done
}

# cost CONFIG SCENE OFFSET
cost() {
	local profile=()
	[[ ! "$1-$2" =~ ^(${KCOLO_COST_PROFILE:-})$ ]] || profile=(perf record -qa -e cpu-clock -F 20000 -o "$TMP/perf")
	"${profile[@]}" ip netns exec far cost "$2" "$ROUNDS" "$3" >"$TMP/cost" || exit 1
	[ ${#profile[@]} = 0 ] || perf report -i "$TMP/perf" --stdio --sort symbol -n -g none 2>/dev/null |
		grep '^ ' >"$KCOLO_OUT/profile.$1-$2"
	sed "s/^/$1 /" "$TMP/cost" >>"$OUT"
	at ph conntrack -F 2>/dev/null
	at sh conntrack -F 2>/dev/null
	return 0
}

per_path() {
	cost bridge foreign 0
	cost bridge secondary 0
	cost bridge alone 0
	nf_call 1
	cost base foreign 0
	cost base secondary 0
	cost base alone 0
	# What throws the other guest's packets away costs something, too.
	rule ph away prerouting -301 accept
	cost rule foreign 0
	at ph nft delete table inet away
	rule ph away prerouting -301 drop
	cost base drop 0
	at ph nft delete table inet away
	kcolo -n sh pair add $PAIR role secondary vm vm peer peer
	kcolo -n ph pair add $PAIR role primary vm vm peer peer
	cost kcolo foreign 0
	cost kcolo secondary 0x2000001
	cost kcolo primary 0x2000001
	for counter in ph:compared_bytes ph:released sh:translated_in sh:translated_out; do
		[ "$(ctr ${counter%:*} ${counter#*:})" -ge "$ROUNDS" ] || { echo "cost-guest.sh: $counter" >&2; exit 1; }
	done
}

# ms COMMAND...: how long it takes
ms() {
	local start=${EPOCHREALTIME/./}
	"$@" >/dev/null || exit 1
	echo $(((${EPOCHREALTIME/./} - start + 500) / 1000))
}

slab() {
	awk '$1 == "Slab:" { print $2 * 1024 }' /proc/meminfo
}

# With so many connections open: what a packet costs without kcolo and with it, what a connection takes, how long a checkpoint
# and a dump last. A host has slow seconds, so the least of three passes counts.
with_flows() {
	local n before
	nf_call 1
	# It is conntrack's table that has to be large enough.
	sysctl -qw net.netfilter.nf_conntrack_max=2000000 net.netfilter.nf_conntrack_buckets=1000000
	for _ in {1..3}; do
		for n in ${KCOLO_COST_FLOWS:-1 1000 100000 1000000}; do
			costs_of "$n" base alone
			at ph conntrack -F 2>/dev/null
			kcolo -n ph pair add $PAIR role primary vm vm peer peer max-flows 1100000
			before=$(slab)
			costs_of "$n" kcolo primary
			echo "$n bytes $((($(slab) - before) / (n + ROUNDS)))"
			echo "$n begin-ms $(ms kcolo -n ph pair checkpoint $PAIR begin)"
			echo "$n commit-ms $(ms kcolo -n ph pair checkpoint $PAIR commit)"
			echo "$n dump-ms $(ms kcolo -n ph flow show pair $PAIR)"
			kcolo -n ph pair del $PAIR force
			at ph conntrack -F 2>/dev/null
			sleep 2
		done
	done | awk '{ v = $NF; sub(/ [^ ]*$/, ""); if (!($0 in least)) key[++n] = $0; if (!($0 in least) || v < least[$0]) least[$0] = v }
		    END { for (i = 1; i <= n; i++) print key[i], least[key[i]] }' >"$OUT"
}

# costs_of FLOWS CONFIG SCENE
costs_of() {
	local path
	ip netns exec far cost "$3" "$ROUNDS" 0 "$1" >"$TMP/cost" || exit 1
	for path in client hold-8 connection; do
		echo "$1 $2 $path $(sed -n "s/^$path \([0-9]*\).*/\1/p" "$TMP/cost")"
	done
}

# So many pairs on one host: what a packet of one of them costs, and one that none of them is about.
with_pairs() {
	local n i=1
	nf_call 1
	for n in ${KCOLO_COST_PAIRS:-1 8 64}; do
		kcolo -n ph pair add $PAIR role primary vm vm peer peer
		for ((; i < n; i++)); do
			ip -n ph link add bridge$i up type bridge
			ip -n ph link add vm$i up master br0 type dummy
			ip -n ph link add peer$i up master bridge$i type dummy
			kcolo -n ph pair add more$i role primary vm vm$i peer peer$i
		done
		bridge -n ph link | sed -n 's/^[0-9]*: \(vm[0-9][0-9]*\)[:@].*/\1/p' | while read -r dev; do
			bridge -n ph link set dev "$dev" flood off mcast_flood off
		done
		{ ip netns exec far cost foreign "$ROUNDS" 0; ip netns exec far cost primary "$ROUNDS" 0; } >"$TMP/cost" || exit 1
		sed "s/^/$n /" "$TMP/cost" >>"$OUT"
		kcolo -n ph pair del $PAIR force
	done
}

# rates CPU...: ns a round takes on each of these, all at once, with a new connection each
client=0
rates() {
	local cpu jobs=()
	for cpu; do
		client=$((client + 1))
		taskset -c "$cpu" ip netns exec far cost rate "$ROUNDS" 0 $client >"$TMP/rate.$cpu" &
		jobs+=($!)
	done
	for cpu in "${jobs[@]}"; do wait "$cpu" || exit 1; done
	for cpu; do sed 's/rate //' "$TMP/rate.$cpu"; done >>"$TMP/rates"
}

# Two CPUs: how much more they do than one (median, least, most).
faster() { # CONFIG
	: >"$TMP/rates"
	rates 0
	rates 0 1
	awk '{ t[NR] = $1 } END { print t[1] / t[2] + t[1] / t[3] }' "$TMP/rates" >>"$TMP/faster.$1"
}

# base throws away what the other guest says, kcolo compares it.
with_cpus() {
	local config
	nf_call 1
	for _ in {1..9}; do
		rule ph away prerouting -301 iifname brp drop
		faster base
		at ph nft delete table inet away
		kcolo -n ph pair add $PAIR role primary vm vm peer peer
		faster kcolo
		[ "$(ctr ph compared_bytes)" -ge $((24 * ROUNDS)) ] || { echo "cost-guest.sh: compared_bytes" >&2; exit 1; }
		kcolo -n ph pair del $PAIR force
	done
	for config in base kcolo; do
		echo "$config" "$(sort -n "$TMP/faster.$config" | awk '{ t[NR] = $1 } END { print t[(NR + 1) / 2], t[1], t[NR] }')"
	done >"$OUT"
}

# With 100000 connections: the longest that a softirq had to wait during 20 checkpoints, and how long these took.
with_commits() {
	local n=100000 tracing=/sys/kernel/tracing i start
	nf_call 1
	sysctl -qw net.netfilter.nf_conntrack_max=$((4 * n))
	kcolo -n ph pair add $PAIR role primary vm vm peer peer
	ip netns exec far cost primary "$ROUNDS" 0 $n >"$TMP/cost" || exit 1
	[ -e $tracing/events ] || mount -t tracefs tracefs $tracing
	echo mono >$tracing/trace_clock
	echo 1 | tee $tracing/events/irq/softirq_{raise,entry}/enable >/dev/null
	for i in {1..20}; do
		kcolo -n ph pair checkpoint $PAIR begin >/dev/null
		start=${EPOCHREALTIME/./}
		kcolo -n ph pair checkpoint $PAIR commit >/dev/null
		echo $((${EPOCHREALTIME/./} - start))
	done | sort -n | sed -n "10s/^/$n commit-us /p" >"$OUT"
	echo 0 >$tracing/tracing_on
	[ "$(ctr ph checkpoints)" = 20 ] && [ "$(ctr ph flows_opened)" -ge $n ] || exit 1
	# task-pid [cpu] flags seconds: softirq_raise: vec=1 [action=TIMER]
	sed -nE 's/.*\[0*([0-9]+)\] [^ ]* +([0-9.]+): softirq_(raise|entry): vec=([0-9]+) .*/\3 \1.\4 \2/p' $tracing/trace |
		awk -v n=$n '$1 == "raise" && !($2 in at) { at[$2] = $3 }
		     $1 == "entry" && $2 in at { d = ($3 - at[$2]) * 1000000; if (d > most) most = d; seen++; delete at[$2] }
		     END { printf "%d softirqs %d\n%d softirq-us %d\n", n, seen, n, most }' >>"$OUT"
}

: >"$OUT"
set_up
"${1:-per_path}"
