# SPDX-License-Identifier: GPL-2.0
# lib.sh - sourced by the tests: results in KTAP, waits, and a pair of replicas made of network namespaces.
# shellcheck shell=bash disable=SC2034 # what is set here, the tests use

# The topology; every line is a veth pair, every [] a bridge, every {} a namespace with its interfaces:
#
#   {cl eth0} -- {lan [br0: cl ph sh]} -- {ph [br0: uplink vm] [brp: peer]} -- {pv eth0}     client, primary host, primary guest
#                        |                                   |
#                        +-- {sh [br0: uplink] [br1: peer vm]} -- {sv eth0}              secondary host, secondary guest
#
# The guests pv and sv have one MAC and the same addresses.

SELFTESTS=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
REPO=$(realpath "$SELFTESTS/..")
SCRIPTS=$REPO/tools/scripts
PATH=$REPO/build/selftests:$REPO/build:$PATH
TMP=$(mktemp -d "${TMPDIR:-/tmp}/kcolo-test.XXXXXX")

NETNS=(cl lan ph sh pv sv)
GUEST_MAC=52:54:00:00:00:02
CLIENT_MAC=52:54:00:00:00:01
declare -A GUEST=([4]=10.0.0.2 [6]=fd00::2) CLIENT=([4]=10.0.0.1 [6]=fd00::1) URL=([4]=10.0.0.2 [6]='[fd00::2]')
declare -A PID=()
PAIR=vm1

# ---- results

tests=0 failed=0 told=$(dmesg | wc -l)

result() {
	[ $tests -gt 0 ] || echo "KTAP version 1"
	tests=$((tests + 1))
	echo "$1 $tests - $2"
}

ok() {
	result ok "$*"
}

not_ok() {
	failed=$((failed + 1))
	result "not ok" "$*"
	[ $failed -gt 3 ] || tell_state
}

# skip NAME REASON
skip() {
	result ok "$1 # SKIP $2"
}

# check NAME COMMAND...: one result by the command's exit status; its output only where it fails.
check() {
	local name=$1; shift
	if "$@" >"$TMP/check.out" 2>&1; then
		ok "$name"
		return 0
	fi
	note "$(printf '%q ' "$@")"
	note <"$TMP/check.out"
	not_ok "$name"
	return 1
}

# Print the arguments, or else what comes in, as KTAP comments.
note() {
	if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cat; fi | sed 's/^/# /'
}

# What one wants to see of a failure.
tell_state() {
	tail -n 3 "$TMP"/server.*.err 2>&1 | note
	local ns
	for ns in ph sh; do
		have_pair $ns || continue
		note "in $ns:"
		{ kcolo -n $ns -s pair show; kcolo -n $ns flow show | grep -v 'state closed .* held 0' | tail -n 20; } 2>&1 | note
	done
	[ ! -s "$TMP/events.out" ] || grep -v '"event": *"flow"' "$TMP/events.out" | tail -n 5 | cut -c1-400 | note
	dmesg | tail -n +$((told + 1)) | grep -v 'entered .* \(state\|mode\)$' | tail -n 20 | note
	told=$(dmesg | wc -l)
}

finish() {
	echo "1..$tests"
	[ $failed -eq 0 ] || note "$failed of $tests failed"
	exit $((failed > 0))
}

# ---- waits and processes

# wait_for SECONDS COMMAND...: until the command succeeds. Looks are counted: the clock goes on while the machine stands still.
wait_for() {
	local looks=$(($1 * 20)); shift
	until "$@" >/dev/null 2>&1; do
		[ $((looks--)) -gt 0 ] || return 1
		sleep 0.05
	done
}

# bg NAME NETNS COMMAND...: start it, its output in $TMP/NAME.out and .err.
bg() {
	local name=$1 ns=$2; shift 2
	ip netns exec "$ns" "$@" >"$TMP/$name.out" 2>"$TMP/$name.err" &
	PID[$name]=$!
}

# loop NAME COMMAND...: the client does it again and again until there is $TMP/stop, with a pause ($pause seconds, 0.1), and ends at its
# first failure; last it tells how often.
loop() {
	# shellcheck disable=SC2016 # the inner shell knows
	bg "$1" cl bash -c 'n=0; while [ ! -e "$0/stop" ]; do "${@:3}" >"$0/$1.once" 2>&1 || { cat "$0/$1.once"; exit 1; }; n=$((n + 1)); sleep "$2"; done; echo $n' \
		"$TMP" "$1" "${pause:-0.1}" "${@:2}"
}

running() {
	kill -0 "${PID[$1]}" 2>/dev/null
}

# reap NAME: wait for its end, with its exit status.
reap() {
	local pid=${PID[$1]}
	unset "PID[$1]"
	wait "$pid"
}

stop() {
	local name
	for name; do
		[ "${PID[$name]:-}" ] || continue
		kill "${PID[$name]}" 2>/dev/null
		reap "$name" 2>/dev/null
	done
}

# at NETNS COMMAND...
at() {
	ip netns exec "$@"
}

cleanup() {
	stop "${!PID[@]}"
	pair_down
	topo_down
	rm -rf "$TMP"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# ---- topology

# link NS1 DEV1 NS2 DEV2
link() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}

# The namespaces and the cables between them.
cables_up() {
	local ns
	make -s -C "$SELFTESTS/replica" || { not_ok "the test server can be built"; finish; }
	"$SELFTESTS/load" || { not_ok "the module can be loaded"; finish; }
	for ns in "${NETNS[@]}"; do
		ip netns add "$ns"
		at "$ns" sysctl -qw net.ipv6.conf.{all,default}.accept_dad=0
		[ ! -e /proc/sys/net/bridge ] ||
			at "$ns" sysctl -qw net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0
		ip -n "$ns" link set lo up
	done
	link cl eth0 lan cl
	link ph uplink lan ph
	link sh uplink lan sh
	link ph peer sh peer
	link ph vm pv eth0
	link sh vm sv eth0
	ip -n lan link add br0 up type bridge mcast_snooping 0
	for ns in cl ph sh; do ip -n lan link set $ns master br0; done
}

topo_up() {
	local ns
	cables_up
	address cl "$CLIENT_MAC" "${CLIENT[4]}" "${CLIENT[6]}"
	for ns in pv sv; do
		address $ns "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
		# What the secondary guest asks for never reaches a client, so it has to know.
		ip -n "$ns" neigh add "${CLIENT[4]}" lladdr $CLIENT_MAC dev eth0
		ip -n "$ns" neigh add "${CLIENT[6]}" lladdr $CLIENT_MAC dev eth0
	done
	# One kernel would choose the same timestamps for both; so this guest's do not begin at random.
	at sv sysctl -qw net.ipv4.tcp_timestamps=2
	hosts_up
	client_counters
}

# address NETNS MAC V4 V6
address() {
	ip -n "$1" link set eth0 down
	ip -n "$1" link set eth0 address "$2" up
	ip -n "$1" addr add "$3/24" dev eth0
	ip -n "$1" addr add "$4/64" dev eth0 nodad
}

topo_down() {
	local ns
	for ns in "${NETNS[@]}"; do ip netns del "$ns" 2>/dev/null; done
}

# The switch's view of a dead primary: no carrier towards the clients, none towards the secondary.
cut_primary() {
	ip -n lan link set ph down
	ip -n ph link set peer down
}

# What the client's own kernel sees arrive and leave. Where both ends have said their FIN, a reset is late and takes nothing from
# anybody: a guest whose FIN was held for longer than its timer has sent it twice, the client acknowledges both, and the second time
# nobody is there any more.
client_counters() {
	local there="meta nfproto . tcp dport . tcp sport" back="meta nfproto . tcp sport . tcp dport"
	at cl nft -f - <<-END
		table inet seen {
			counter resets { }
			counter late { }
			counter syns { }
			set said { typeof $back; flags dynamic; size 65536; }
			set heard { typeof $there; flags dynamic; size 65536; }
			chain in {
				type filter hook input priority 0;
				tcp flags & (syn | fin | rst) == 0 accept
				tcp flags & syn == syn delete @said { $there } delete @heard { $there }
				tcp flags & fin == fin add @heard { $there }
				tcp flags & rst == rst $there @said $there @heard counter name late accept
				tcp flags & rst == rst counter name resets
			}
			chain out {
				type filter hook output priority 0;
				tcp flags & (syn | ack) == syn counter name syns
				tcp flags & syn == syn delete @said { $back } delete @heard { $back }
				tcp flags & fin == fin add @said { $back }
			}
		}
	END
}

# client_saw resets|late|syns
client_saw() {
	at cl nft list counter inet seen "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'
}

# impair LINK DIRECTION NETEM...: LINK client: to-client or to-primary; LINK peer: to-primary or to-secondary.
impair() {
	local dev
	case $1:$2 in
	client:to-primary) dev=(lan ph) ;;
	client:to-client) dev=(ph uplink) ;;
	peer:to-secondary) dev=(ph peer) ;;
	peer:to-primary) dev=(sh peer) ;;
	*) note "impair: no such link: $1 $2"; return 1 ;;
	esac
	shift 2
	tc -n "${dev[0]}" qdisc replace dev "${dev[1]}" root netem limit 10000 "$@"
}

impair_none() {
	local dev
	for dev in lan:ph ph:uplink ph:peer sh:peer; do
		tc -n "${dev%:*}" qdisc del dev "${dev#*:}" root 2>/dev/null
	done
	return 0
}

# lose LINK DIRECTION COUNT EXPRESSION...: drop the first frames like that; as impair().
lose() {
	local where
	case $1:$2 in
	client:to-primary) where=(ph uplink) ;;
	client:to-client) where=(cl eth0) ;;
	peer:to-primary) where=(ph peer) ;;
	peer:to-secondary) where=(sh peer) ;;
	*) note "lose: no such link: $1 $2"; return 1 ;;
	esac
	lose_nothing
	LOSES=${where[0]}
	at "$LOSES" nft -f - <<-END
		table netdev lossy {
			counter lost { }
			chain in {
				type filter hook ingress device ${where[1]} priority 0;
				${@:4} limit rate 1/hour burst $3 packets counter name lost drop
			}
		}
	END
}

lose_nothing() {
	[ ! "${LOSES:-}" ] || at "$LOSES" nft delete table netdev lossy
	LOSES=
}

# lost COUNT: so many were dropped.
lost() {
	at "$LOSES" nft list counter netdev lossy lost | grep -q "packets $1 "
}

# ---- the two hosts

# with_script NETNS SCRIPT ARGUMENTS...: what the script says is of interest only when it fails.
with_script() {
	local ns=$1 script=$2; shift 2
	at "$ns" "$SCRIPTS/$script" "$@" >"$TMP/$script.log" 2>&1 && return
	note "$script $*"
	note <"$TMP/$script.log"
	return 1
}

hosts_up() {
	with_script ph kcolo-primary up bridge br0 uplink uplink vm vm peer peer
	with_script sh kcolo-secondary up bridge br1 vm vm peer peer
	# The bridge of the secondary host's own clients; its guest will join it at a failover.
	ip -n sh link add br0 up type bridge
	ip -n sh link set uplink master br0
}

# Connect the secondary guest to the clients, and tell their switch.
takeover() {
	with_script sh kcolo-secondary takeover vm vm bridge br0 announce $GUEST_MAC "${GUEST[4]}" "${GUEST[6]}"
}

# The dead host comes back empty, and the guest that has taken over is the secondary's again.
come_back() {
	local ns
	for ns in pv sv cl; do ss -N $ns -HnK state connected >/dev/null; done
	kcolo -n ph pair del "$PAIR" force && kcolo -n sh pair del "$PAIR" force &&
	with_script sh kcolo-secondary down vm vm &&
	ip -n sh link set vm nomaster &&
	with_script sh kcolo-secondary up bridge br1 vm vm peer peer || return
	ip -n lan link set ph up
	ip -n ph link set peer up
	bridge -n lan fdb del "$GUEST_MAC" dev sh master 2>/dev/null
	return 0
}

# A cable carries copies. Here both hosts are one kernel and the mirror's clone shares its bytes with the frame that the
# guest gets: where the secondary's host makes IPv6 fragments anew it would write another id into the guest's.
cable() {
	at sh nft -f - <<-END
		table netdev cable {
			chain copy { type filter hook ingress device peer priority 0; ip6 hoplimit 64 ip6 hoplimit set 64; }
		}
	END
}

# ---- pairs

have_pair() {
	kcolo -n "$1" pair show "$PAIR" >/dev/null 2>&1
}

# pair_up [OPTION VALUE...]: both sides, and somebody who listens; the options go to the primary. Without a pair nothing is tested.
pair_up() {
	# On a slow kernel both guests are late.
	[ $# -gt 0 ] || set -- timeout $((3000 * ${KCOLO_TEST_SCALE:-1}))
	bg events ph kcolo -j monitor all
	check "pair add, primary" kcolo -n ph pair add "$PAIR" role primary vm vm peer peer "$@" || finish
	check "pair add, secondary" kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer || finish
	wait_for 5 heard || not_ok "kcolo monitor hears of a change"
}

# Whether the monitor listens: a setting that is set again is an event.
heard() {
	kcolo -n ph pair set "$PAIR" scan "$(pair_field ph scan_ms)"
	[ -s "$TMP/events.out" ]
}

pair_down() {
	stop events
	kcolo -n sh pair del "$PAIR" force 2>/dev/null
	kcolo -n ph pair del "$PAIR" force 2>/dev/null
}

# json KEY: its value in the JSON that comes in: a number, a word, or null.
json() {
	tr ',' '\n' | sed -nE "s/.*\"$1\": ?\"?([^\",}]*)\"?.*/\1/p" | head -n 1
}

# ctr NETNS NAME: a counter of the pair on that host.
ctr() {
	kcolo -n "$1" -j stats show pair "$PAIR" | json "$2"
}

# pair_field NETNS KEY
pair_field() {
	kcolo -n "$1" -j pair show "$PAIR" | json "$2"
}

# in_state NETNS STATE
in_state() {
	[ "$(pair_field "$1" state)" = "$2" ]
}

# ctrs NETNS: all counters of the pair on that host, for declare -A.
ctrs() {
	echo "($(kcolo -n "$1" -j stats show pair "$PAIR" | tr ',' '\n' | sed -nE 's/.*"([a-z_]+)": ?([0-9]+).*/[\1]=\2/p'))"
}

# adds_up NETNS COUNTER FATE...: what the one has counted is all in the others.
adds_up() {
	local name sum=0 said=
	local -A n
	eval "n=$(ctrs "$1")"
	for name in "${@:3}"; do
		sum=$((sum + n[$name]))
		said+=" $name ${n[$name]}"
	done
	echo "$1: $2 ${n[$2]}, in all $sum:$said"
	[ "${n[$2]}" ] && [ "${n[$2]}" = $sum ]
}

# Every packet has left, was dropped for a reason that is counted, or is still held: see Documentation/operating.rst.
balance() {
	adds_up ph primary_packets passed hold malformed overflow &&
	adds_up ph hold released flushed dropped_reset held &&
	adds_up ph secondary_packets secondary_{heard,covered,unmatched,surplus,stale,refused,ignored,rule,bypass,malformed,dropped} queued &&
	{ ! have_pair sh || adds_up sh waited released wait_flushed held; }
}

# The counters are not read in one instant, so under traffic it may take another look.
balanced() {
	wait_for 3 balance || balance
}

nothing_held() {
	[ "$(ctr ph held)" = 0 ]
}

# No byte found different, nobody gave up, nothing left over; what a test of equal replicas must end with.
quiet() {
	echo "state $(pair_field ph state) miscompares $(ctr ph miscompares) uncompared_bypass $(ctr ph uncompared_bypass)"
	in_state ph running && [ "$(ctr ph miscompares)" = 0 ] && [ "$(ctr ph uncompared_bypass)" = 0 ]
}

# clean: what must hold once equal replicas have served their clients.
clean() {
	check "R1 R6 no difference found, no bypass: $*" quiet
	check "R1 nothing is held any more: $*" wait_for 5 nothing_held
	check "counters balance: $*" balanced
	# A packet that a bad link repeats after its connection is closed is rightly answered by a reset.
	[ "$*" = "bad links" ] || check "no reset reached the client: $*" test "$(client_saw resets)" = 0
}

# ---- services; NAME.NETNS is the name of the process

# server NETNS [OPTION...]: the replica of selftests/replica.
server() {
	local ns=$1; shift
	bg "server.$ns" "$ns" replica server --ctl "$TMP/ctl.$ns" "$@"
	wait_for 5 ctl "$ns" stat
}

# connected NETNS N: so many clients of the replica there have their connection.
connected() {
	[ "$(ss -N "$1" -Htn state established dport = 7000 | wc -l)" -ge "$2" ]
}

# listening NETNS PORT: in both families
listening() {
	[ "$(ss -N "$1" -Hltn sport = "$2" | wc -l)" = 2 ]
}

# ctl NETNS COMMAND [FILE]
ctl() {
	replica ctl "$TMP/ctl.$1" "${@:2}"
}

# nginx_up NETNS DIR: serve DIR, accept uploads into a directory of its own. Who asks for FILE?rate=100k gets no more than that in each
# second: curl's own limit begins after a hundred buffers.
nginx_up() {
	local d=$TMP/nginx.$1
	mkdir -p "$d/put"
	cat >"$d/conf" <<-END
		load_module /usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so;
		daemon off;
		user root;
		worker_processes 1;
		error_log $d/error.log;
		pid $d/pid;
		events { worker_connections 1024; }
		http {
			access_log off;
			sendfile on;
			etag off;
			keepalive_requests 100000;
			keepalive_timeout 3600s;
			client_max_body_size 0;
			client_body_temp_path $d/body;
			proxy_temp_path $d/t1;
			fastcgi_temp_path $d/t2;
			uwsgi_temp_path $d/t3;
			scgi_temp_path $d/t4;
			# The only thing that nginx says of itself.
			more_clear_headers Date Server;
			server {
				listen 80;
				listen [::]:80;
				root $2;
				limit_rate \$arg_rate;
				location /put/ { root $d; dav_methods PUT; }
			}
		}
	END
	bg "nginx.$1" "$1" nginx -p "$d" -c "$d/conf"
	wait_for 5 at "$1" curl -so /dev/null http://127.0.0.1/
}

redis_up() {
	bg "redis.$1" "$1" redis-server --save '' --appendonly no --protected-mode no --bind '*' '-::*' --dir "$TMP" \
		--enable-debug-command yes --loglevel warning
	wait_for 5 at "$1" redis-cli ping
}

# dns_up NETNS [ADDRESS]: a name server whose answers depend on nothing but the question, but for one name.
dns_up() {
	local long
	long=$(printf 'x%.0s' {1..250})
	bg "dns.$1" "$1" dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file="$TMP/dns.$1.pid" \
		--no-resolv --no-hosts --cache-size=0 --log-facility=- --local=/test/ --edns-packet-max=4096 \
		--address=/a.test/192.0.2.1 --address=/a.test/2001:db8::1 --txt-record=long.test,"$long","$long","$long" \
		--host-record=differs.test,"${2:-192.0.2.2}"
	wait_for 5 at "$1" dig +short +time=1 +tries=1 @127.0.0.1 a.test
}

# ---- a real checkpoint between two test servers

# What the guest receives waits in a queue before its port, as it would for a stopped virtual machine: so many bytes.
port_freeze() { # NETNS DEV
	tc -n "$1" qdisc replace dev "$2" root plug limit 256000000
}

port_drained() {
	tc -n "$1" -s qdisc show dev "$2" root | grep -q 'backlog 0b 0p'
}

port_thaw() { # NETNS DEV
	tc -n "$1" qdisc change dev "$2" root plug release_indefinite
	wait_for 1 port_drained "$1" "$2"
	tc -n "$1" qdisc del dev "$2" root
}

# guest_freeze NETNS HOST ROLE: the server stops, its kernel hears nothing. What the timers of the primary's kernel say meanwhile it
# says afterwards: a guest that really stands still has sent nothing that is lost. The secondary will be another one.
guest_freeze() {
	ctl "$1" freeze >/dev/null
	port_freeze "$2" vm
	if [ "$3" = secondary ]; then
		tc -n "$1" qdisc replace dev eth0 root netem loss 100%
	else
		# A delayed ACK of the primary may still leave, before the barrier.
		sleep 0.05
		port_freeze "$1" eth0
	fi
}

guest_thaw() { # NETNS HOST ROLE
	if [ "$3" = secondary ]; then
		tc -n "$1" qdisc del dev eth0 root
	else
		port_thaw "$1" eth0
	fi
	port_thaw "$2" vm
	ctl "$1" thaw >/dev/null
}

# checkpoint_begin: in the order of C1 and C6; both guests stand still afterwards.
checkpoint_begin() {
	kcolo -n sh pair checkpoint "$PAIR" begin &&
	guest_freeze sv sh secondary &&
	guest_freeze pv ph primary &&
	kcolo -n ph pair checkpoint "$PAIR" begin
}

# The secondary guest becomes a copy of the primary; its half-open connections are no sockets that a program could drop.
checkpoint_copy() {
	ss -N sv -HnK state syn-recv >/dev/null
	ctl pv dump "$TMP/dump" &&
	ctl sv load "$TMP/dump"
}

checkpoint_thaw() {
	guest_thaw sv sh secondary
	guest_thaw pv ph primary
}

# checkpoint_real EPOCH
checkpoint_real() {
	checkpoint_begin && checkpoint_copy &&
	kcolo -n sh pair checkpoint "$PAIR" commit epoch "$1" &&
	kcolo -n ph pair checkpoint "$PAIR" commit epoch "$1" &&
	checkpoint_thaw
}

checkpoint_abort() {
	checkpoint_begin &&
	kcolo -n sh pair checkpoint "$PAIR" abort &&
	kcolo -n ph pair checkpoint "$PAIR" abort &&
	checkpoint_thaw
}
