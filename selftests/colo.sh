#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# colo.sh [-n CHECKPOINTS] [-s SECONDS] [story|cut|host|sessions|periodic|side]... - inside a VM: two QEMUs, unmodified, are a COLO
# pair on kcolo ("make colo-demo").
#
# story: compared, checkpoints, the secondary dies, a new one, the primary dies; cut: the link breaks inside a checkpoint;
# host: the primary's host is gone; sessions: TLS and ssh; periodic: checkpoints by the clock; side: beside QEMU's own proxy,
# SECONDS for each kind of traffic. $COLO_QEMU, $COLO_KERNEL and $COLO_INITRD are what colo-demo has put into the cache.
. "$(dirname "$(realpath "$0")")/lib.sh"

checkpoints=20 seconds=20
while getopts n:s: option; do
	case $option in
	n) checkpoints=$OPTARG ;;
	s) seconds=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- story
scale=${KCOLO_TEST_SCALE:-1}
export KCOLO_RUN=$TMP
began=$SECONDS

# ---- the hosts and their guests

# The guests' ports are taps of QEMU's.
hosts_up() {
	local ns
	for ns in ph sh; do
		ip -n "$ns" link del vm
		at "$ns" ip tuntap add dev vm mode tap vnet_hdr
		ip -n "$ns" link set vm up
		link_to_clients "$ns"
	done
	ip -n ph link set vm master br0
}

link_to_clients() {
	ip -n "$1" link add br0 up type bridge
	ip -n "$1" link set uplink master br0
}

# What the pair needs of them.
kcolo_up() {
	with_script ph kcolo-primary up bridge br0 uplink uplink vm vm peer peer
	with_script sh kcolo-secondary up bridge br1 vm vm peer peer
}

# vm HOST [OPTION...]: QEMU, with the same devices on both hosts. The secondary's has the memory twice, and User-Mode Linux
# takes a mapping of this machine's for each page that has no neighbour: a process has vm.max_map_count (65530) of them.
vm() {
	bg "qemu.$1" "$1" "$COLO_QEMU" -accel tcg,tb-size=32 -M q35 -m 112 -smp 1 -nodefaults -no-user-config -display none -no-reboot \
		-kernel "$COLO_KERNEL/image" -initrd "$COLO_INITRD" -append "console=ttyS0 quiet nokaslr rdinit=/init random.trust_cpu=on" \
		-serial "file:$TMP/$1.serial" -qmp "unix:$TMP/$1.qmp,server=on,wait=off" \
		-netdev tap,id=n0,ifname=vm,script=no,downscript=no,vhost=off \
		-device virtio-net-pci,netdev=n0,mac="$GUEST_MAC",romfile= "${@:2}"
}

# daemon HOST PEER LINE...: kcolod, and what its file says.
daemon() {
	printf '%s\n' "pair $PAIR" "qmp $TMP/$1.qmp" "migration $TMP/$1.migration" "peer $2 7010" \
		"peer-silence $((10000 * scale))" "qmp-timeout 30000" "checkpoint-timeout 60000" "${@:3}" >"$TMP/$1.kcolod"
	bg "kcolod.$1" "$1" kcolod run "$TMP/$1.kcolod"
}

# secondary_up: its QEMU waits, and COLO is begun. Nothing looks at it all the time: looking takes time from the guests.
secondary_up() {
	vm sh -incoming "unix:$TMP/sh.migration"
	wait_slow 30 is sh qmp true || not_ok "QEMU's monitor, secondary"
	check "kcolod start" kcolod start ph
	check "C2 COLO" wait_slow 180 is ph phase '"colo"' || { tell primary ph; tell secondary sh; finish; }
	check "C4 both run in one epoch" wait_for 5 in_one_epoch
	story "COLO runs"
}

# guest_up [OPTION...]: from nothing to a guest on the primary's host, with these options of QEMU; nobody protects it yet.
guest_up() {
	rm -f "$TMP"/{ph,sh}.{serial,migration,qmp}
	topo_up
	link ph mig sh mig
	ip -n ph addr add 192.0.2.1/24 dev mig
	ip -n sh addr add 192.0.2.2/24 dev mig
	vm ph "$@"
	check "the guest boots" wait_slow 180 grep -q 'colo-guest: ready' "$TMP/ph.serial" || { tail -n 5 "$TMP/ph.serial" | note; finish; }
	story "the guest is up"
}

# protect [LINE...]: from there to COLO; the lines are for the primary's daemon.
protect() {
	kcolo_up
	pair_up timeout $((5000 * scale))
	daemon ph 192.0.2.2 "$@"
	daemon sh 192.0.2.1 "failover auto" "listen 192.0.2.2 7010" \
		"takeover $SCRIPTS/kcolo-secondary takeover vm vm bridge br0 announce $GUEST_MAC ${GUEST[4]}"
	wait_slow 30 is ph qmp true || not_ok "QEMU's monitor, primary"
	secondary_up
}

pair_of_guests() {
	guest_up
	protect "$@"
}

guests_gone() {
	stop "${!PID[@]}"
	pair_down
	topo_down
}

# dies NAME...: without a word.
dies() {
	local name
	for name; do
		kill -9 "${PID[$name]}"
		reap "$name"
	done 2>/dev/null
}

# ---- looks

wait_slow() {
	local end=$((SECONDS + $1 * scale)); shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 1
	done
}

# is HOST KEY VALUE: in the daemon's status
is() { kcolod status "$1" | grep -q "\"$2\":$3[,}]"; }
done_checkpoints() { kcolod status ph | sed 's/.*"checkpoint_us":{"n":\([0-9]*\).*/\1/'; }
more_than() { [ "$(done_checkpoints)" -gt "$1" ]; }
in_one_epoch() { in_state ph running && in_state sh running && [ "$(pair_field ph epoch)" = "$(pair_field sh epoch)" ]; }
miscompared() { [ "$(ctr ph miscompares)" -gt "$1" ]; }
story() { note "[$((SECONDS - began)) s] $*"; }

# tell WHO HOST
tell() {
	note "$1: $(kcolod status "$2")"
	tail -n 8 "$TMP/kcolod.$2.err" | note
}

# ---- the client

fetch() { at cl curl -sS --max-time $((120 * scale)) "$@"; }
same_file() { fetch "http://${GUEST[4]}/file" | cmp - "$TMP/file"; }
got_at_least() { [ "$(stat -c %s "$TMP/got" 2>/dev/null || echo 0)" -ge "$1" ]; }

# How many connections it has opened; a repeated SYN is none.
connects() { at cl cat /proc/net/snmp | awk '/^Tcp: [0-9]/ { print $6 }'; }

# download, upload: begin one that takes some seconds, and wait until it is under way.
# download [URL]
download() {
	rm -f "$TMP/got"
	opened=$(connects)
	bg client cl curl -sSk --max-time $((200 * scale)) --limit-rate 1M "${1:-http://${GUEST[4]}/file}" -o "$TMP/got"
	check "a download is under way" wait_for $((60 * scale)) got_at_least 2000000
}

upload() {
	opened=$(connects)
	sent=$(at cl cat /sys/class/net/eth0/statistics/tx_bytes)
	bg client cl curl -sS --max-time $((200 * scale)) --limit-rate 1M --data-binary "@$TMP/file" \
		-H 'Expect:' "http://${GUEST[4]}/cgi-bin/sum" -o "$TMP/sum"
	check "an upload is under way" wait_for $((60 * scale)) sent_at_least 2000000
}

sent_at_least() { [ $(($(at cl cat /sys/class/net/eth0/statistics/tx_bytes) - sent)) -ge "$1" ]; }

# ends RULE download|upload: as if nothing had happened.
ends() {
	check "$1 the $2 ends" reap client
	story "the $2 has ended"
	case $2 in
	download) check "$1 with the right bytes" cmp "$TMP/file" "$TMP/got" ;;
	upload) check "$1 with the right sum" test "$(cat "$TMP/sum")" = "$(md5sum <"$TMP/file" | cut -c1-32)" ;;
	esac
	check "$1 on the same connection" test "$(connects)" = $((opened + 1))
	check "$1 no reset reached the client" test "$(client_saw resets)" = 0
}

# Downloads until it is enough; one that is not right ends it with a failure.
# shellcheck disable=SC2016 # the other shell expands it
load='n=0; while [ ! -e "$1/enough" ]; do curl -sS --max-time 200 --limit-rate 1M "$2" | cmp - "$1/file" || exit; n=$((n + 1)); done; echo $n'

# ---- what is shown

compared() {
	local before
	before=$(ctr ph compared_bytes)
	check "the client's download is right" same_file
	# Both guests write the time of day into the header of an answer: where it differs, a checkpoint takes the place of a part.
	check "R1 it was compared" test $(($(ctr ph compared_bytes) - before)) -ge 4000000
	story "downloaded: $(($(ctr ph compared_bytes) - before)) bytes compared, $(ctr ph miscompares) miscompares"
}

# What two guests never say alike.
differs() {
	local n m
	n=$(done_checkpoints) m=$(ctr ph miscompares)
	check "an answer of random numbers reaches the client" fetch -o "$TMP/random" "http://${GUEST[4]}/cgi-bin/random"
	check "R7 it was a miscompare" miscompared "$m"
	check "C5 QEMU has made a checkpoint" wait_for 10 more_than "$n"
	story "answered after a checkpoint: $(cat "$TMP/random")"
}

# checkpoints_made COUNT: on demand, one after the other.
checkpoints_made() {
	local n i
	n=$(done_checkpoints)
	for ((i = 0; i < $1; i++)); do
		kcolod checkpoint ph
		wait_for $((20 * scale)) more_than $((n + i)) || break
	done
	check "$1 checkpoints under load" test "$i" = "$1"
}

# many COUNT: checkpoints while clients download.
many() {
	rm -f "$TMP/enough"
	bg load cl bash -c "$load" load "$TMP" "http://${GUEST[4]}/file"
	checkpoints_made "$1"
	: >"$TMP/enough"
	check "every download was right" reap load
	story "$1 checkpoints, $(cat "$TMP/load.out") downloads"
	shares
}

# What they took, and what of it is kcolo's.
shares() {
	local ns
	for ns in ph sh; do
		note "$ns: $(kcolod status "$ns" | sed 's/.*\("fence_us.*\)}$/\1/')"
		check "no step of a checkpoint was refused, $ns" is "$ns" failed_steps 0
	done
	check "C4 both are in one epoch" wait_for 5 in_one_epoch
}

# One a second, asked for by nobody, while clients download.
show_periodic() {
	local n
	pair_of_guests "failover auto" "checkpoint-delay $((1000 * scale))"
	rm -f "$TMP/enough"
	bg load cl bash -c "$load" load "$TMP" "http://${GUEST[4]}/file"
	n=$(done_checkpoints)
	check "$checkpoints checkpoints by the clock" wait_slow $((5 * checkpoints)) more_than $((n + checkpoints - 1))
	: >"$TMP/enough"
	check "every download was right" reap load
	story "$(($(done_checkpoints) - n)) checkpoints, $(cat "$TMP/load.out") downloads, $(ctr ph miscompares) miscompares"
	shares
}

takes_over() {
	check "F1 the secondary takes over" wait_for $((30 * scale)) in_state sh failover
	story "taken over"
	# The switch's view of a dead host.
	ip -n lan link set ph down
	ends F1 "$1"
	check "F1 the secondary serves new connections" same_file
	tell secondary sh
}

# speed NAME: of downloads, in KB/s: the best of five.
speed() {
	local i
	for i in 1 2 3 4 5; do at cl "$SELFTESTS/colo/client.py" "${GUEST[4]}" "$TMP/file"; done >"$TMP/speed"
	speed[$1]=$(sed 's/.*"kb_s": \([0-9]*\).*/\1/' "$TMP/speed" | sort -n | tail -n 1)
	story "$1: ${speed[$1]} KB/s"
}

declare -A speed

show_story() {
	guest_up
	speed unprotected
	protect "failover auto"
	compared
	speed pair
	differs
	many "$checkpoints"

	download
	dies qemu.sh
	story "the secondary's QEMU is killed"
	ends F2 download
	check "F2 the primary goes on alone" is ph phase '"alone"'
	check "F2 nothing is held any more" nothing_held
	speed alone
	check "F2 at full speed" test "${speed[alone]}" -ge $((speed[unprotected] * 7 / 10))
	secondary_up

	download
	dies qemu.ph
	story "the primary's QEMU is killed, the client has $(stat -c %s "$TMP/got") bytes"
	takes_over download
}

# Checkpoints by the clock; one that is slow is cut in two. Who is cut off does not decide by itself here.
show_cut() {
	local n
	pair_of_guests "failover manual" "checkpoint-delay $((3000 * scale))"
	n=$(done_checkpoints)
	upload
	check "checkpoints by the clock" wait_slow 30 more_than $((n + 1))
	tc -n ph qdisc add dev mig root tbf rate 4mbit burst 16k latency 1s
	check "C6 inside a checkpoint" wait_for $((30 * scale)) in_state sh checkpoint
	ip -n ph link set mig down
	ip -n ph link set peer down
	story "the links to the peer are cut"
	takes_over upload
}

show_host() {
	pair_of_guests "failover auto"
	upload
	cut_primary
	ip -n ph link set mig down
	dies kcolod.ph qemu.ph
	story "the primary's host is gone"
	takes_over upload
}

# The words of two such servers differ from the first, which is random; after a checkpoint they have the same keys.
# shellcheck disable=SC2016 # the other shell expands it
lines='d=$1; shift; for ((i = 1; i <= 500; i++)); do [ ! -e "$d/enough" ] || break; echo "line $i"; sleep 0.3; done |
	tee "$d/said" | ssh "$@" cat >"$d/heard"'

heard_more_than() { [ "$(wc -l <"$TMP/heard")" -gt "$1" ]; }

show_sessions() {
	local m n
	pair_of_guests "failover auto"
	rm -f "$TMP"/{enough,said,heard}
	m=$(ctr ph miscompares)
	bg ssh cl bash -c "$lines" lines "$TMP" -i "$COLO_INITRD.key" -o UserKnownHostsFile="$COLO_INITRD.known" -o BatchMode=yes \
		"root@${GUEST[4]}"
	check "a session of ssh" wait_for $((60 * scale)) grep -q 'line 3' "$TMP/heard"
	story "ssh, after $(($(ctr ph miscompares) - m)) miscompares and $(done_checkpoints) checkpoints"
	download "https://${GUEST[4]}/file"
	story "TLS, after $(($(ctr ph miscompares) - m)) miscompares and $(done_checkpoints) checkpoints"
	checkpoints_made 3
	dies qemu.ph
	story "the primary's QEMU is killed, the client has $(stat -c %s "$TMP/got") bytes"
	takes_over download
	n=$(wc -l <"$TMP/heard")
	check "F1 ssh goes on" wait_for $((20 * scale)) heard_more_than "$n"
	: >"$TMP/enough"
	check "F1 ssh ends well" reap ssh
	check "F1 with every line" cmp "$TMP/said" "$TMP/heard"
	story "$(wc -l <"$TMP/heard") lines by ssh"
}

# ---- beside QEMU's own proxy

# qemu_proxy HOST: its objects, as its documentation has them, but for chardevs that do not wait for more to send (nodelay, and
# sockets of the machine where both ends are on it).
# shellcheck disable=SC2054 # the commas are QEMU's
qemu_proxy() {
	local o=() name
	case $1 in
	ph)
		for name in mirror0:9003 compare1:9004; do
			o+=(-chardev "socket,id=${name%:*},host=192.0.2.1,port=${name#*:},server=on,wait=off,nodelay=on")
		done
		for name in compare0 out; do
			o+=(-chardev "socket,id=$name,path=$TMP/$name,server=on,wait=off" -chardev "socket,id=$name-0,path=$TMP/$name")
		done
		o+=(-object filter-mirror,id=m0,netdev=n0,queue=tx,outdev=mirror0,vnet_hdr_support=on
			-object filter-redirector,id=r0,netdev=n0,queue=rx,indev=out,vnet_hdr_support=on
			-object filter-redirector,id=r1,netdev=n0,queue=rx,outdev=compare0,vnet_hdr_support=on
			-object iothread,id=t0
			-object colo-compare,id=c0,primary_in=compare0-0,secondary_in=compare1,outdev=out-0,iothread=t0,vnet_hdr_support=on)
		;;
	sh)
		for name in red0:9003 red1:9004; do
			o+=(-chardev "socket,id=${name%:*},host=192.0.2.1,port=${name#*:},reconnect-ms=1000,nodelay=on")
		done
		o+=(-object filter-redirector,id=f1,netdev=n0,queue=tx,indev=red0,vnet_hdr_support=on
			-object filter-redirector,id=f2,netdev=n0,queue=rx,outdev=red1,vnet_hdr_support=on
			-object filter-rewriter,id=rew0,netdev=n0,queue=all,vnet_hdr_support=on)
		;;
	esac
	printf '%s\n' "${o[@]}"
}

stops() { grep -c STOP "$TMP/qmp.log"; }

# measure NAME COUNTER...: a row of the table; the command counts checkpoints.
measure() {
	local name=$1 n start=$SECONDS; shift
	n=$("$@")
	at cl "$SELFTESTS/colo/client.py" "${GUEST[4]}" "$TMP/file" "$seconds" >"$TMP/row" || return
	rows+=("$name: $(tr -d '{}"' <"$TMP/row"), checkpoints: $(($("$@") - n)) in $((SECONDS - start)) s")
}

rows=()

# The same guest and the same traffic: without a pair, with kcolo, with QEMU's own.
show_side() {
	local options
	guest_up
	check "a guest alone" measure alone echo 0
	story "${rows[-1]}"
	protect "failover auto"
	check "kcolo" measure kcolo done_checkpoints
	story "${rows[-1]}"
	check "kcolo loses no connection" grep -q '"lost": 0' "$TMP/row"
	guests_gone

	mapfile -t options < <(qemu_proxy ph)
	guest_up "${options[@]}"
	mapfile -t options < <(qemu_proxy sh)
	vm sh -incoming "unix:$TMP/sh.migration" "${options[@]}"
	check "QEMU's monitor, secondary" wait_slow 30 test -S "$TMP/sh.qmp"
	bg qmp ph "$SELFTESTS/colo/qmp.py" "$TMP/ph.qmp" "$TMP/sh.qmp" "unix:$TMP/sh.migration" "$TMP/qmp.log"
	check "QEMU's own proxy: COLO" wait_slow 60 grep -q colo "$TMP/qmp.log" || tail -n 3 "$TMP"/qmp.err "$TMP"/qemu.?h.err | note
	check "QEMU's own proxy" measure "QEMU's proxy" stops
	story "${rows[-1]}"
	# One that is asked to end in the middle of COLO may not do so.
	dies qmp qemu.sh qemu.ph
	printf '%s\n' "${rows[@]}" | note
}

seq 1 1200000 >"$TMP/file"
for name; do
	story "$name"
	"show_$name"
	guests_gone
done
finish
