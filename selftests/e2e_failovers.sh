#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_failovers.sh - the primary's host dies, $KCOLO_TEST_FAILOVERS (5) times in a row, each time in the middle of all kinds of
# connections; the fifth and every hundredth after it with a client that is idle for more than three minutes. Prints what the clients saw.
#
# One after the other: IPv4 and IPv6; a loss of 0, 1 and 5 % on all links; timestamps on and off. In a guest whose clock skips what
# nobody needs ("vm/run --append time-travel=inf-cpu") a thousand take their computing time alone.
. "$(dirname "$(realpath "$0")")/lib.sh"

failovers=${KCOLO_TEST_FAILOVERS:-5}
scale=${KCOLO_TEST_SCALE:-1}
rate=200000
# Seconds without a byte after which a connection counts as lost: of timers that have doubled up to their two minutes a few.
patience=600
links=(lan:ph ph:uplink lan:sh sh:uplink ph:peer sh:peer)
# What has a port of its own, so that its timer can be looked up; the others are curl's and the short requests.
streams=(get put both idle half early sackget sackput)
shorts=(short{1..12})
opened=(vmget vmput vmidle)
declare -A sport rto
bad=0 holes=0 resets=0 wrong=0 lost=0 connections=0 requests=0 ms=0

# ---- between two failovers

services_up() {
	local ns
	mkdir -p "$TMP/files"
	head -c 4M /dev/urandom >"$TMP/files/file"
	server cl
	for ns in pv sv; do
		server $ns
		nginx_up $ns "$TMP/files"
	done
}

start_over() {
	at sh nft delete table netdev hole 2>/dev/null
	come_back || return
	rm -f "$TMP"/nginx.*/put/*
}

pair_up_quietly() {
	kcolo -n ph pair add "$PAIR" role primary vm vm peer peer timeout 60000 &&
	kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer
}

impair_links() { # PERCENT
	local dev
	for dev in "${links[@]}"; do
		if [ "$1" = 0 ]; then
			tc -n "${dev%:*}" qdisc del dev "${dev#*:}" root 2>/dev/null
		else
			tc -n "${dev%:*}" qdisc replace dev "${dev#*:}" root netem limit 10000 delay 1ms loss "$1%"
		fi
	done
}

# ---- in the middle of what

start_clients() { # IDLE-MS
	local name port=$((20000 + n % 300 * 100)) c=(replica client "${GUEST[$v]}" 7000)
	sport=()
	for name in "${streams[@]}" "${opened[@]}"; do sport[$name]=$((port++)); done
	bg get cl "${c[@]}" get 3M --rate $rate --sport "${sport[get]}" --timeout $patience
	bg put cl "${c[@]}" put 3M --rate $rate --sport "${sport[put]}" --timeout $patience
	bg both cl "${c[@]}" both 3M 3M --rate $rate --sport "${sport[both]}" --timeout $patience
	bg idle cl "${c[@]}" echo 6 "$1" --sport "${sport[idle]}" --timeout $patience
	bg half cl "${c[@]}" get 3M --rate $rate --half-close --sport "${sport[half]}" --timeout $patience
	bg early cl "${c[@]}" both 1k 3M --rate $rate --early-fin --sport "${sport[early]}" --timeout $patience
	bg sackget cl "${c[@]}" get 3M --rate $rate --sport "${sport[sackget]}" --timeout $patience
	bg sackput cl "${c[@]}" put 3M --rate $rate --sport "${sport[sackput]}" --timeout $patience
	for name in "${shorts[@]}"; do
		bg "$name" cl "${c[@]}" get 2k --repeat 100000 --pause 20 --timeout $patience
	done
	for ns in pv sv; do
		bg "vmget.$ns" $ns replica client "${CLIENT[$v]}" 7000 get 3M --rate $rate --sport "${sport[vmget]}" --timeout $patience
		bg "vmput.$ns" $ns replica client "${CLIENT[$v]}" 7000 put 3M --rate $rate --sport "${sport[vmput]}" --timeout $patience
		bg "vmidle.$ns" $ns replica client "${CLIENT[$v]}" 7000 echo 6 2200 --sport "${sport[vmidle]}" --timeout $patience
	done
	bg http cl curl -sSf --max-time $patience "http://${URL[$v]}/file?rate=300k" -o "$TMP/got"
	bg httpput cl curl -sSf --max-time $patience --limit-rate 300k -T "$TMP/files/file" "http://${URL[$v]}/put/file"
}

# One segment of each is lost for as long as the rule stays, however often it is sent: what comes behind it is acknowledged selectively.
holes() {
	hole cl eth0 "dport ${sport[sackget]}" "dport ${sport[sackput]}"
	hole ph uplink "sport ${sport[sackput]}" "sport ${sport[sackget]}"
}

# hole NETNS DEV LOSES SACKED: in what comes in there, and count the other connection's selective acknowledgments.
hole() {
	at "$1" nft -f - <<-END
		table netdev hole {
			counter sacked { }
			set first { typeof tcp sequence; flags dynamic; size 8; }
			chain in {
				type filter hook ingress device $2 priority 0;
				tcp $3 tcp sequence @first drop
				tcp $3 meta length > 1000 limit rate 1/hour burst 1 packets add @first { tcp sequence } drop
				tcp $4 tcp option sack left > 0 counter name sacked
			}
		}
	END
}

holes_open() {
	local ns
	for ns in cl ph; do
		! at "$ns" nft list counter netdev hole sacked | grep -q 'packets 0 ' || return 1
	done
}

no_holes() {
	at cl nft delete table netdev hole
	at ph nft delete table netdev hole
}

# A few looks are enough: each of them is four processes.
holes_seen() {
	for _ in 1 2 3 4 5; do
		sleep 0.4
		! holes_open || return 0
	done
	return 1
}

# Where nothing behind the hole comes through there is nothing to acknowledge selectively: it is lost as well, or the lost packet has
# filled the window. Then another segment may do.
open_holes() {
	holes
	if ! holes_seen; then
		no_holes
		sleep 1
		holes
		holes_seen || return
	fi
	holes=$((holes + 1))
}

# The longer one of the two ends' timers, for each port.
note_timers() {
	local ns port ms
	rto=()
	while read -r port ms; do
		[ "${rto[$port]:-0}" -gt "$ms" ] || rto[$port]=$ms
	done < <(for ns in cl sv; do ss -N $ns -HOtin; done |
		sed -nE 's/^ESTAB .*[]0-9a-f.:]:([0-9]+) +[^ ]*:([0-9]+) .* rto:([0-9]+).*/\1 \3\n\2 \3/p;
			 s/^(CLOSE-WAIT|FIN-WAIT-2|FIN-WAIT-1) .*[]0-9a-f.:]:([0-9]+) +[^ ]*:([0-9]+) .* rto:([0-9]+).*/\2 \4\n\3 \4/p')
}

# All of it is under way, and has been compared.
in_the_middle() {
	local name
	for name in "${streams[@]}" "${shorts[@]}" http httpput vm{get,put,idle}.{pv,sv}; do
		running "$name" && continue
		reap "$name"
		echo "$name has ended before: exit status $?"
		cat "$TMP/$name.out" "$TMP/$name.err"
		return 1
	done
	in_state ph running && [ "$(ctr ph miscompares)" = 0 ] && [ "$(ctr ph uncompared_bypass)" = 0 ]
}

# ---- afterwards

# said NAME KEY: $said is a number of the line that a client has printed
said() {
	said=
	[[ ! $(<"$TMP/$1.out") =~ \ $2=([0-9]+) ]] || said=${BASH_REMATCH[1]}
}

# took NAME PORT: how long it stood still, in ms and in its own timers
took() {
	said "$1" stall_ms
	echo "${1%.*} $loss $said ${rto[$2]:-1000}" >>"$TMP/stalls"
}

# One client's end; whatever is not well is counted.
ends() { # NAME
	local status=0
	reap "$1" || status=$?
	connections=$((connections + 1))
	case $1:$status in
	http:0) cmp -s "$TMP/files/file" "$TMP/got" || status=1 ;;
	httpput:0) cmp -s "$TMP/files/file" "$TMP/nginx.sv/put/file" || status=1 ;;
	esac
	case $1:$status in
	*:0) return ;;
	*:1) wrong=$((wrong + 1)) ;;
	*:3 | *:56) resets=$((resets + 1)) ;;
	esac
	lost=$((lost + 1))
	echo "$1: exit status $status"
	cat "$TMP/$1.out" "$TMP/$1.err"
	# What the two ends still know of it.
	for ns in cl sv; do ss -N $ns -HOtino | grep ":${sport[${1%.*}]:-none} "; done
	return 1
}

all_end() {
	local name well=1
	sleep "$scale"
	for name in "${streams[@]}" "${shorts[@]}" "${opened[@]/%/.sv}"; do kill -USR1 "${PID[$name]}" 2>/dev/null; done
	for name in "${streams[@]}" http httpput; do ends "$name" || well=0; done
	for name in "${opened[@]}"; do ends "$name.sv" || well=0; done
	for name in "${shorts[@]}"; do
		ends "$name" || well=0
		said "$name" conns
		connections=$((connections - 1 + said))
		requests=$((requests + said))
		said "$name" ms
		ms=$((ms + said / ${#shorts[@]}))
		took "$name" 0
	done
	for name in "${streams[@]}"; do took "$name" "${sport[$name]}"; done
	for name in "${opened[@]}"; do took "$name.sv" "${sport[$name]}"; done
	seen=$(client_saw resets)
	[ "$seen" = 0 ] || echo "the client's kernel has seen $seen resets"
	[ $well = 1 ] && [ "$seen" = 0 ]
}

fail_over() {
	local name
	cut_primary
	no_holes
	stop "${opened[@]/%/.pv}"
	for name in "${streams[@]}" "${shorts[@]}" "${opened[@]/%/.sv}"; do kill -USR2 "${PID[$name]}"; done
	kcolo -n sh pair failover "$PAIR" && takeover
}

once() {
	local idle=2200
	[ $((n % 100)) != 4 ] || idle=200000
	at cl nft reset counters >/dev/null
	at cl sysctl -qw net.ipv4.tcp_timestamps=$ts
	impair_links "$loss"
	pair_up_quietly || return
	start_clients $idle
	# Who had to repeat a SYN-ACK begins after a second, with a window of one segment, in which no hole can be.
	sleep $((3 * scale))
	open_holes
	note_timers
	in_the_middle || return
	fail_over && all_end
}

# ---- the sum

# stalls KIND LOSS KEY: median and most, in ms (1) or in timers (2)
stalls() {
	awk -v kind="$1" -v loss="$2" '$1 ~ "^" kind && $2 == loss { print $3, $3 / $4 }' "$TMP/stalls" | sort -n -k "$3" | awk -v key="$3" '
		{ v[NR] = $key }
		END { printf("%.4g %.4g\n", v[int((NR + 1) / 2)], v[NR]) }'
}

tell_stalls() { # KIND LOSS
	read -r m_ms x_ms < <(stalls "$1" "$2" 1)
	read -r m_rto x_rto < <(stalls "$1" "$2" 2)
	note "stall of ${1:-all connections}, loss $2 %: median $m_ms ms or $m_rto RTOs, maximum $x_ms ms or $x_rto RTOs"
}

# ---- the test

topo_up
services_up
: >"$TMP/stalls"
for ((n = 0; n < failovers; n++)); do
	v=$((n % 2 ? 6 : 4)) ts=$((n / 2 % 2 ? 0 : 1))
	case $((n % 3)) in 0) loss=0 ;; 1) loss=1 ;; 2) loss=5 ;; esac
	name="F1 failover $((n + 1)), IPv$v, loss $loss %, timestamps $ts"
	if once >"$TMP/once.out" 2>&1; then
		ok "$name"
	else
		note <"$TMP/once.out"
		not_ok "$name"
		bad=$((bad + 1))
	fi
	resets=$((resets + $(client_saw resets)))
	for name in "${!PID[@]}"; do
		case $name in server.* | nginx.*) ;; *) stop "$name" ;; esac
	done
	start_over >"$TMP/over.out" 2>&1 || { note <"$TMP/over.out"; not_ok "a new primary after failover $((n + 1))"; break; }
done
note "$n failovers, $connections connections: resets $resets, wrong bytes $wrong, connections lost $lost; SACK holes open in $holes"
[ "$ms" = 0 ] || note "short requests: $requests, $((requests * 1000 * n / ms / n)) a second"
for loss in 0 1 5; do tell_stalls '' $loss; done
for kind in "${streams[@]}" "${opened[@]}" short; do tell_stalls "$kind" 0; done
check "F1 all connections live" test "$n $bad $resets $wrong $lost" = "$failovers 0 0 0 0"
check "F1 SACK holes open in most" test $((2 * holes)) -ge "$n"
check "F1 at least 100 short requests a second" test $((requests * 1000)) -ge $((100 * ms / scale))
finish
