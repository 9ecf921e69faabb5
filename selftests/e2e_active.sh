#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_active.sh - the guests are clients: connections that they open, from a fixed port, through a failover.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
pair_up timeout 20000
server cl

# Both guests do the same. The one that dies with its host does not end well.
# both NAME V PORT MODE...
both() {
	local name=$1 v=$2 port=$3 ns; shift 3
	for ns in pv sv; do
		bg "$name$v.$ns" $ns replica client "${CLIENT[$v]}" 7000 "$@" --sport "$port" --timeout 90
	done
}

same_end() {
	reap "$1.pv" && reap "$1.sv"
}

translated() {
	kcolo -n sh flow show pair "$PAIR" | grep -c 'state established offset'
}

for v in 4 6; do
	both get $v 2000$v get 3M
	both put $v 2001$v put 3M
	both many $v 2002$v both 100k 100k
	for name in get put many; do check "W4 W5 IPv$v: $name, opened by the guest" same_end $name$v; done
done

for v in 4 6; do
	both get $v 2100$v get 60M --rate 4M
	both put $v 2101$v put 60M --rate 4M
	both idle $v 2102$v echo 60 700
done
wait_for 20 connected sv 6
all_translated() {
	[ "$(translated)" = 6 ]
}
check "W4 W5 all are translated" wait_for 10 all_translated
sleep 1
check "W5 the guests' clocks differ" grep -q 'tsoffset -\?[0-9]\{5\}' <(kcolo -n sh flow show pair "$PAIR")
note "$(kcolo -n sh flow show pair "$PAIR" | grep established)"
# The server has got the primary's SYN, its answer's copy is lost. Both guests are one kernel, which chooses the same numbers for both,
# but for the time between them.
lose peer to-secondary 100 'tcp flags & (syn | ack) == syn | ack'
for ts in 0 1; do
	at cl sysctl -qw net.ipv4.tcp_timestamps=$ts
	for v in 4 6; do both young$ts $v "220$ts$v" get 100k; done
	wait_for 5 lost $((2 * ts + 2))
done
cut_primary
check "F1 pair failover on the secondary" kcolo -n sh pair failover "$PAIR"
check "F1 kcolo-secondary takeover" takeover
# They go on for a while, and then come to an end.
sleep 1
for v in 4 6; do
	for name in get put idle; do kill -USR1 "${PID[$name$v.sv]}" 2>/dev/null; done
done
for v in 4 6; do
	for name in get put idle; do
		check "F1 IPv$v: $name of the guest that survives ends with the right bytes" reap $name$v.sv
		note "$(cat "$TMP/$name$v.sv.out")"
	done
done
for ts in 0 1; do
	for v in 4 6; do
		check "F1 IPv$v: opened when the host died, timestamps $ts" reap young$ts$v.sv
		note "$(cat "$TMP/young$ts$v.sv.out")"
	done
done
check "F1 no reset reached the server" test "$(client_saw resets)" = 0
check "R6 no difference was found" test "$(ctr ph miscompares)" = 0
stop "${!PID[@]}"
finish
