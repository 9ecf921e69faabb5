#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_checkpoint.sh - checkpoints after which the secondary's kernel really holds the primary's connections.
#
# $KCOLO_E2E_COMMITS (10) of them follow each other under load, and as many with a jitter of 20 ms between the hosts.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
pair_up
server pv
server sv
c=(replica client)
n=0 row=${KCOLO_E2E_COMMITS:-10}

# commit [NAME]: one more epoch
commit() {
	n=$((n + 1))
	checkpoint_real $n
}

# start_clients SIZE RATE INTERVAL: three kinds in both families; the interval is the idle one's. Slow enough to outlast what is
# done to them, however slow the machine is, since only an established connection can be copied.
start_clients() {
	local v
	for v in 4 6; do
		bg "get$v" cl "${c[@]}" "${GUEST[$v]}" 7000 get "$1" --rate "$2"
		bg "put$v" cl "${c[@]}" "${GUEST[$v]}" 7000 put "$1" --rate "$2"
		bg "idle$v" cl "${c[@]}" "${GUEST[$v]}" 7000 echo 40 "$3"
	done
	wait_for 5 translated 6
}

ends() {
	reap "$1" || { cat "$TMP/$1.out"; return 1; }
}

end_clients() {
	local name
	for name in get put idle; do
		for v in 4 6; do
			check "$* IPv$v: $name ends with the right bytes" ends $name$v
			note "$(cat "$TMP/$name$v.out")"
		done
	done
}

# The offsets that the secondary host gives the connections that live.
offsets() {
	kcolo -n sh flow show pair "$PAIR" | sed -n 's/.* state established.* offset \([0-9]*\).*/\1/p'
}

all_zero() {
	offsets
	[ "$(offsets | grep -cx 0)" = "$1" ] && translated 0
}

translated() {
	[ "$(offsets | grep -cvx 0)" = "$1" ]
}

# Let the clients come to an end as fast as they can.
hurry() {
	kill -USR1 "${PID[get4]}" "${PID[get6]}" "${PID[put4]}" "${PID[put6]}" "${PID[idle4]}" "${PID[idle6]}"
}

# ---- one
start_clients 60M 4M 400
check "W4 the connections are translated" translated 6
check "C1 C2 begin, copy, commit" commit
check "C2 the offset is 0 afterwards" all_zero 6
check "C2 both sides are in epoch 1" test "$(pair_field ph epoch)$(pair_field sh epoch)" = 11
check "C2 the pair runs" in_state ph running
hurry
end_clients "C2"
check "W4 a new connection after the commit" at cl "${c[@]}" "${GUEST[4]}" 7000 get 1M
bg late cl "${c[@]}" "${GUEST[6]}" 7000 echo 100 200
check "W4 a new connection is translated again" wait_for 20 translated 1
kill -USR1 "${PID[late]}"
check "W4 and gets the right bytes" ends late

# ---- given up
start_clients 60M 4M 400
check "C3 begin, abort" checkpoint_abort
check "C3 the old offsets stay" translated 6
hurry
end_clients "C3"

# ---- many in a row
in_a_row() { # NAME SIZE RATE
	local i
	start_clients "$2" "$3" $((row * 125))
	for ((i = 1; i <= row; i++)); do
		commit >"$TMP/commit.out" 2>&1 || { note <"$TMP/commit.out"; not_ok "C2 $1: number $i"; break; }
		sleep 0.1
	done
	check "C2 $1: $row commits, the offset is 0 afterwards" all_zero 6
	hurry
	check "C2 $1: the epoch" test "$(pair_field ph epoch) $(pair_field sh epoch)" = "$n $n"
	end_clients "C2 $1"
	check "C4 $1: no difference" test "$(ctr ph miscompares)" = 0
	bg late cl "${c[@]}" "${GUEST[4]}" 7000 echo 100 200
	check "W4 $1: a new connection is translated again" wait_for 20 translated 1
	kill -USR1 "${PID[late]}"
	check "W4 and gets the right bytes" ends late
}

in_a_row "in a row" $((row * 10))M 1M
impair peer to-primary delay 20ms 20ms
impair peer to-secondary delay 20ms 20ms
# What arrives in another order is repeated, so this goes on slowly.
in_a_row "in a row with jitter" "${row}M" 100k
note "$(ctr ph secondary_stale) packets of the secondary were of another epoch"
impair_none

# A guest that has stood still may repeat what its client has acknowledged meanwhile, before it reads that; the secondary, which has
# read it, does not. If the connection is older than the pair, it waits for one more checkpoint, which is asked for (C0, R7).
commit_on_request() { # NAME
	local i
	for ((i = 0; i < 80; i++)); do
		[ "$(cat "$TMP"/{get,put,idle}{4,6}.out | grep -c result=)" = 6 ] && return
		[ ! "$(pair_field ph request)" ] || check "$1: the checkpoint that is asked for" commit
		sleep 0.2
	done
}

# ---- one side misses something: until the next commit the clients wait, and then all is well
torn() { # NAME COMMAND...
	local name=$1
	shift
	start_clients 60M 4M 400
	check "C4 $name" "$@"
	sleep 0.5
	check "C4 $name: the next commit" commit
	check "C4 $name: the same epoch" test "$(pair_field ph epoch) $(pair_field sh epoch)" = "$n $n"
	check "C4 $name: the pair runs" in_state ph running
	hurry
	commit_on_request "C4 $name"
	end_clients "C4 $name"
	bg late cl "${c[@]}" "${GUEST[6]}" 7000 echo 100 200
	check "C4 $name: a new connection is translated" wait_for 20 translated 1
	kill -USR1 "${PID[late]}"
	check "C4 $name: and gets the right bytes" ends late
}

only_secondary_commits() {
	n=$((n + 1))
	checkpoint_begin && checkpoint_copy &&
	kcolo -n sh pair checkpoint "$PAIR" commit epoch "$n" &&
	kcolo -n ph pair checkpoint "$PAIR" abort &&
	checkpoint_thaw
}

only_primary_commits() {
	n=$((n + 1))
	checkpoint_begin &&
	kcolo -n sh pair checkpoint "$PAIR" abort &&
	kcolo -n ph pair checkpoint "$PAIR" commit epoch "$n" &&
	checkpoint_thaw
}

# Both hosts are one kernel here; to a pair it is the same whether it or its module goes and comes.
anew() { # NETNS ROLE
	kcolo -n "$1" pair del "$PAIR" force && kcolo -n "$1" pair add "$PAIR" role "$2" vm vm peer peer
}

torn "a commit is lost on the primary" only_secondary_commits
torn "an abort on the secondary" only_primary_commits
torn "the primary's pair is made anew" anew ph primary
torn "the secondary's pair is made anew" anew sh secondary
miscompares=$(ctr ph miscompares)

# ---- the copy is what goes on
start_clients 60M 4M 400
sleep 0.5
check "C2 a commit before the failover" commit
sleep 0.5
cut_primary
kcolo -n sh pair failover "$PAIR"
check "F1 takeover" takeover
hurry
end_clients "C2 F1 failover after a checkpoint"
check "C2 no reset reached a client" test "$(client_saw resets)" = 0
check "counters balance" balanced
check "no difference was found" test "$(ctr ph miscompares)" = "$miscompares"

# ---- the primary's host dies between begin and commit: before the secondary has loaded, and after

# dies_in_a_checkpoint COMMAND ACTION: what has been done by then, and what the caller says therefore
dies_in_a_checkpoint() {
	pair_down
	stop "${!PID[@]}"
	topo_down
	topo_up
	pair_up
	server pv
	server sv
	start_clients 60M 4M 400
	sleep 0.5
	check "C1 C6 begin" checkpoint_begin
	check "C3 $2: done by then: $1" "$1"
	cut_primary
	check "C3 $2: failover says which" sh -c "! kcolo -n sh pair failover $PAIR 2>/dev/null"
	check "C3 $2: failover" kcolo -n sh pair failover "$PAIR" "$2"
	check "C3 $2: takeover" takeover
	guest_thaw sv sh secondary
	hurry
	end_clients "C3 F1 failover in a checkpoint, $2"
	check "C3 $2: no reset reached a client" test "$(client_saw resets)" = 0
}

dies_in_a_checkpoint true abort
dies_in_a_checkpoint checkpoint_copy commit
finish
