#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# guest.sh - inside a VM (see run): measure every workload in every configuration, in turn; a JSON object a line in $KCOLO_OUT/raw.
#
# Native: a bridge. Ceiling: two replicas do all of their work, the secondary's is thrown away at the primary's peer port.
# Kcolo: held and compared. Observe: copies are compared. Qemu: QEMU's proxy as a packet processor between two taps of each host, its guests being pv and sv.
# Only what a configuration needs differs: the namespaces, the clients, the servers and their sysctls are the same.
. "$(dirname "$(realpath "$0")")/../lib.sh"

read -rd "" -a CONFIGS <<<"${KCOLO_BENCH_CONFIGS:-native ceiling observe kcolo qemu}"
read -rd "" -a WORKLOADS <<<"${KCOLO_BENCH_WORKLOADS:-down-1}"
ROUNDS=${KCOLO_BENCH_ROUNDS:-3}
WARM=${KCOLO_BENCH_WARM:-20} MS=${KCOLO_BENCH_MS:-100} MB=${KCOLO_BENCH_MB:-20}
RAW=$KCOLO_OUT/raw
SNDBUF=393216

say() {
	echo "[$(cut -d ' ' -f 1 /proc/uptime)] $*"
}

# A server for each port: QEMU's proxy stalls uploads unless every segment is acknowledged at once.
PORT=7000 PORT_QUICK=7001
declare -A PID_OF
servers_up() {
	local ns
	for ns in pv sv; do
		at $ns sysctl -qw net.core.somaxconn=4096
		bg "bench.$ns" $ns bench server $PORT "$TMP/stats.$ns"
		PID_OF[$ns]=${PID[bench.$ns]}
		sndbuf $ns $SNDBUF
		bg "quick.$ns" $ns bench server $PORT_QUICK "$TMP/quick.$ns" quickack
	done
	wait_for 10 listening sv $PORT_QUICK && wait_for 10 listening pv $PORT_QUICK || exit 1
	# QEMU's proxy stalls where the window is larger. Connections are many, and come again.
	at cl sysctl -qw net.ipv4.tcp_rmem="4096 1048576 1048576" net.ipv4.tcp_tw_reuse=1
	sysctl -qw net.core.netdev_max_backlog=100000 kernel.sched_rt_runtime_us=-1
	ip -n cl neigh add "${GUEST[4]}" lladdr $GUEST_MAC dev eth0
	ip -n cl neigh add "${GUEST[6]}" lladdr $GUEST_MAC dev eth0
	at cl nft delete table inet seen
}

# ---- what the configurations consist of

mirror_on() {
	tc -n ph filter add dev vm egress pref 1 matchall action mirred egress mirror dev peer continue
}

mirror_off() {
	tc -n ph filter del dev vm egress pref 1
}

# nf_call 0|1: on all bridges, as the set-up scripts leave it, or on none.
nf_call() {
	local bridge
	for bridge in ph:br0 ph:brp sh:br1; do
		ip -n ${bridge%:*} link set ${bridge#*:} type bridge nf_call_iptables "$1" nf_call_ip6tables "$1"
	done
}

native_on() { :; }
native_off() { :; }

# initcwnd N|0: of what the secondary sends; 0: the default
initcwnd() {
	ip -n sv route change 10.0.0.0/24 dev eth0 src "${GUEST[4]}" initcwnd "$1"
	ip -n sv route change fd00::/64 dev eth0 metric 256 initcwnd "$1"
}

# sndbuf NETNS BYTES: the most, with what the kernel needs to manage it
sndbuf() {
	at "$1" sysctl -qw net.ipv4.tcp_wmem="4096 16384 $2"
}

# A secondary that lags would ignore acknowledgments of what it has not said yet, and fall silent. So its server comes first, only
# the client's window limits what it sends, the primary is limited by less, which is so in all configurations, and both
# servers' sequence numbers are made in a way that makes them equal.
ceiling_on() {
	initcwnd 10000
	sndbuf sv 8388608
	chrt -f -p 10 "${PID_OF[sv]}"
	at pv sysctl -qw net.ipv4.tcp_syncookies=2
	at sv sysctl -qw net.ipv4.tcp_syncookies=2
	mirror_on
}

ceiling_off() {
	mirror_off
	at pv sysctl -qw net.ipv4.tcp_syncookies=1
	at sv sysctl -qw net.ipv4.tcp_syncookies=1
	chrt -o -p 0 "${PID_OF[sv]}"
	sndbuf sv $SNDBUF
	initcwnd 0
}

# pair_on MODE
pair_on() {
	nf_call 1
	mirror_on
	kcolo -n sh pair add $PAIR role secondary vm vm peer peer mode "$1"
	kcolo -n ph pair add $PAIR role primary vm vm peer peer mode "$1"
}

kcolo_on() {
	pair_on hold
}

observe_on() {
	pair_on observe
}

observe_off() {
	kcolo_off
}

kcolo_off() {
	kcolo -n ph pair del $PAIR force
	kcolo -n sh pair del $PAIR force
	mirror_off
	nf_call 0
}

# bridge_with NETNS BRIDGE PORT...
bridge_with() {
	local ns=$1 bridge=$2 port; shift 2
	[ -e "$TMP/$ns.$bridge" ] || ip -n "$ns" link add "$bridge" up type bridge mcast_snooping 0
	: >"$TMP/$ns.$bridge"
	for port; do ip -n "$ns" link set "$port" master "$bridge" up; done
}

# qemu NETNS ARGUMENTS...: two taps on a hub, and filters on the one towards the clients.
qemu() {
	local ns=$1 dev; shift
	local args=(-nodefaults -machine none -display none -monitor none -serial none)
	for dev in c v; do
		args+=(-netdev "tap,id=$dev,ifname=tap$dev,script=no,downscript=no,vnet_hdr=off"
			-netdev "hubport,id=hub$dev,hubid=0,netdev=$dev")
	done
	bg "qemu.$ns" "$ns" qemu-system-x86_64 "${args[@]}" "$@"
	wait_for 60 ip -n "$ns" link show tapv || { cat "$TMP/qemu.$ns.err" >&2; exit 1; }
}

qemu_start() {
	modprobe -q tun
	# Under icount, time passes at will while a file is read: read it before the wait.
	qemu-system-x86_64 -version
	qemu ph -chardev "socket,id=mirror,path=$TMP/mirror,server=on,wait=off" \
		-chardev "socket,id=secondary,path=$TMP/secondary,server=on,wait=off" \
		-chardev "socket,id=compare,path=$TMP/compare,server=on,wait=off" -chardev "socket,id=compare0,path=$TMP/compare" \
		-chardev "socket,id=out,path=$TMP/out,server=on,wait=off" -chardev "socket,id=out0,path=$TMP/out" \
		-object iothread,id=io1 \
		-object filter-mirror,id=m0,netdev=c,queue=tx,outdev=mirror \
		-object filter-redirector,id=r0,netdev=c,queue=rx,indev=out \
		-object filter-redirector,id=r1,netdev=c,queue=rx,outdev=compare \
		-object colo-compare,id=comp0,primary_in=compare0,secondary_in=secondary,outdev=out0,iothread=io1
	wait_for 60 test -S "$TMP/out"
	qemu sh -chardev "socket,id=red0,path=$TMP/mirror" -chardev "socket,id=red1,path=$TMP/secondary" \
		-object filter-redirector,id=f1,netdev=c,queue=tx,indev=red0 \
		-object filter-redirector,id=f2,netdev=c,queue=rx,outdev=red1 \
		-object filter-rewriter,id=rew0,netdev=c,queue=all
	ip -n sh link set tapc up
}

qemu_on() {
	running qemu.sh 2>/dev/null || qemu_start
	bridge_with ph qc uplink tapc
	bridge_with ph qv vm tapv
	bridge_with sh qs vm tapv
}

qemu_off() {
	ip -n ph link set uplink master br0
	ip -n ph link set vm master br0
	ip -n sh link set vm master br1
}

# ports_of N: those that the client uses in configuration N. Where the secondary lags or is cut off it keeps connections that are over,
# and does not answer a SYN on one of them as the primary does: no configuration may meet those of another one.
ports_of() {
	local share=$((64000 / ${#CONFIGS[@]}))
	at cl sysctl -qw net.ipv4.ip_local_port_range="$((1024 + $1 * share)) $((1023 + ($1 + 1) * share))"
}

# A secondary that was cut off keeps what it has not sent, up to the limit of the memory that all connections have together.
forget() {
	local ns
	for ns in cl pv sv; do ss -N $ns -tHnK state connected >/dev/null; done
}

# ---- measuring

# said NETNS: bytes that the servers there have sent
said() {
	od -An -t u8 -j 16 -N 8 "$TMP/$files.$1" | tr -d ' '
}

# profiled NAME COMMAND...: with KCOLO_BENCH_PROFILE, where the time goes meanwhile, in $KCOLO_OUT/NAME.profile.
profiled() {
	local name=$1; shift
	[ "${KCOLO_BENCH_PROFILE:-}" ] || { "$@"; return; }
	perf record -qa -e cpu-clock -F 10000 -o "$TMP/perf" -- "$@" 2>/dev/null
	perf report -i "$TMP/perf" --stdio --sort symbol,dso -g none 2>/dev/null | grep '^ ' | head -n 100 >"$KCOLO_OUT/$name.profile"
}

# offloads on|off: what the ends let their cards do
offloads() {
	local ns
	for ns in cl pv sv; do at $ns ethtool -K eth0 tso "$1" gso "$1" gro "$1"; done >/dev/null 2>&1
}

# measure ROUND CONFIG WORKLOAD: the latter is KIND-CONNECTIONS[-v6][-notso]
measure() {
	local kind conns how v='' out port=$PORT files=stats pv sv more='' times=1
	IFS=- read -r kind conns how <<<"$3"
	# So many need longer than that to get going.
	[ "$conns" -lt 256 ] || times=10
	[[ $how != *v6* ]] || v=6
	[[ $how != *notso* ]] || offloads off
	[ "$2" != qemu ] || port=$PORT_QUICK files=quick
	pv=$(said pv) sv=$(said sv)
	out=$(profiled "$2-$3" ip netns exec cl bench client "${GUEST[$([ "$v" ] && echo 6 || echo 4)]}" $port "$kind" "$conns" \
		$((WARM * times)) $((MS * times)) "$MB")
	# What the secondary still has to say.
	sleep 0.02
	pv=$(($(said pv) - pv)) sv=$(($(said sv) - sv))
	[[ $how != *notso* ]] || offloads on
	! have_pair ph || more=",\"state\":\"$(pair_field ph state)\",\"counters\":$(kcolo -n ph -j stats show pair $PAIR)"
	echo "{\"round\":$1,\"config\":\"$2\",\"workload\":\"$3\",\"primary_said\":$pv,\"secondary_said\":$sv,\"client\":${out:-null}$more}" >>"$RAW"
}

: >"$RAW"
topo_up
mirror_off
nf_call 0
servers_up
say "set up"
for ((round = 0; round < ROUNDS; round++)); do
	for ((i = 0; i < ${#CONFIGS[@]}; i++)); do
		config=${CONFIGS[(i + round) % ${#CONFIGS[@]}]}
		ports_of $(((i + round) % ${#CONFIGS[@]}))
		"${config}_on" >/dev/null || exit 1
		for workload in "${WORKLOADS[@]}"; do measure $round "$config" "$workload"; done
		"${config}_off" >/dev/null || exit 1
		forget
		say "round $((round + 1)) of $ROUNDS: $config"
	done
done
