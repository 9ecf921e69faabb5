# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What kcolo-primary and kcolo-secondary share. Sourced, not run.
#
# Every change goes through run() or put(), which print it first and do nothing
# else when $dry is set. What was changed is noted as facts, one a line, in a
# file for each vm port and network namespace; "down" undoes those and no more.

me=${0##*/}
dry=
facts=
keep=
failed=

die() { # SENTENCE
	echo "Error: $me: $*" >&2
	exit 2
}

warn() { # SENTENCE
	echo "Warning: $me: $*" >&2
}

bad_usage() { # SENTENCE
	echo "Error: $me: $*" >&2
	usage >&2
	exit 1
}

# Whatever status the command has: 1 is for what is wrong with the words.
run() { # COMMAND [ARG]...
	echo "$*"
	[ "$dry" ] || "$@" || return 2
}

put() { # VALUE FILE
	echo "echo $1 >$2"
	[ "$dry" ] || echo "$1" >"$2" || return 2
}

# --- Facts: what was done here, and what was there before. ---

facts_of() { # SCRIPT VM
	echo "${KCOLO_RUN:-/run/kcolo}/$1-$(stat -L -c %i /proc/self/ns/net)-$2"
}

facts_open() { # VM
	facts=$(facts_of "$me" "$1")
}

note() { # FACT...
	[ "$dry" ] && return
	mkdir -p "${facts%/*}"
	echo "$*" >>"$facts"
}

# The facts called NAME, without the name, one a line, the last one first.
noted() { # NAME
	[ -e "$facts" ] && sed -n "s/^$1 //p" "$facts" | tac
}

# facts_check: refuse to set up what is set up. Without the bridge that
# goes with it the facts are those of a network namespace that is gone, whose
# number is in use again.
facts_check() {
	[ "$(noted up)" ] || return 0
	! exists "$(noted up | head -n 1)" ||
		die "$vm is set up already; take it down first"
	facts_drop ""
}

# facts_drop [BRIDGE]: all but what concerns that bridge.
facts_drop() {
	[ "$dry" ] && return
	[ -z "$1" ] || sed -i "/ $1\$/!d" "$facts"
	[ "$1" ] && [ -s "$facts" ] || rm -f "$facts"
}

# What is half done when something fails is taken back, but for the BRIDGE that
# an earlier run has left.
undo_on_failure() { # [BRIDGE]
	trap "leave \$? $1" EXIT
	trap 'exit 2' INT TERM HUP
}

leave() { # STATUS [BRIDGE]
	trap - EXIT
	if [ "$1" != 0 ]; then
		warn "undoing what was done"
		undo "${2:-}"
		facts_drop "${2:-}"
	fi
	exit "$1"
}

# --- Questions. Without the devices a dry run answers as on a fresh host. ---

exists() { # DEV
	[ -e "/sys/class/net/$1" ]
}

need_dev() { # WORD DEV
	exists "$2" || [ "$dry" ] || die "$1: there is no device $2"
}

master_of() { # DEV
	basename "$(readlink "/sys/class/net/$1/master" 2>/dev/null)" 2>/dev/null
}

is_bridge() { # DEV
	[ -d "/sys/class/net/$1/bridge" ]
}

ports_of() { # BRIDGE
	for port in /sys/class/net/"$1"/brif/*; do
		[ -e "$port" ] && echo "${port##*/}"
	done
	return 0
}

# need_different DEV...: no device has two tasks.
need_different() {
	twice=$(printf '%s\n' "$@" | sort | uniq -d | head -n 1)
	[ -z "$twice" ] || bad_usage "$twice cannot be two of them"
}

need_no_master() { # DEV
	[ -z "$(master_of "$1")" ] || die "$1 is a port of $(master_of "$1") already"
}

# A host that has an address there is a neighbour to the guest, which must not
# have any: remove it by hand, for only you know what it is good for.
need_no_address() { # DEV
	exists "$1" || return 0
	[ -z "$(ip -o addr show dev "$1" scope global)" ] ||
		die "$1 has an address; it must serve kcolo alone"
}

# --- Pieces. ---

# The switch for all bridges stays off if it was this script that brought it.
bridges_stay_quiet() {
	[ ! -e /proc/sys/net/bridge ] || return 0
	run modprobe br_netfilter
	for family in ip ip6 arp; do
		put 0 "/proc/sys/net/bridge/bridge-nf-call-${family}tables"
	done
}

# bridge_nf_call BRIDGE [keep]: let the bridge show its packets to the IP hooks,
# which "down" takes back without "keep".
bridge_nf_call() {
	bridges_stay_quiet
	if [ "$(cat "/sys/class/net/$1/bridge/nf_call_iptables" \
		"/sys/class/net/$1/bridge/nf_call_ip6tables" 2>/dev/null |
		tr -d '\n')" != 11 ]; then
		run ip link set dev "$1" type bridge \
			nf_call_iptables 1 nf_call_ip6tables 1
		[ "${2:-}" ] || note nf_call "$1"
	fi
}

# The kernel counts IPv4 fragments by the guest's address, whichever side they
# came from, and gives up a datagram when more than so many others come between
# two of its own. 0: it does not count.
max_dist=/proc/sys/net/ipv4/ipfrag_max_dist

all_fragments() {
	[ "$(cat "$max_dist")" != 0 ] || return 0
	note max_dist "$(cat "$max_dist")"
	put 0 "$max_dist"
}

# ipv6_off DEV: without it the kernel gives every device a link-local address.
ipv6_off() {
	file=/proc/sys/net/ipv6/conf/$1/disable_ipv6
	[ -e /proc/sys/net/ipv6 ] || return 0
	[ "$(cat "$file" 2>/dev/null)" = 1 ] && return 0
	put 1 "$file"
	note ipv6 "$1"
}

# arp_off DEV: the host answers nobody there.
arp_off() {
	ip link show dev "$1" 2>/dev/null | grep -q NOARP && return 0
	run ip link set dev "$1" arp off
	note arp "$1"
}

# quiet_bridge BRIDGE: make a bridge in which the host has no voice.
quiet_bridge() {
	run ip link add dev "$1" type bridge stp_state 0 mcast_snooping 0
	note bridge "$1"
	if [ -e /proc/sys/net/ipv6 ]; then
		run ip link set dev "$1" addrgenmode none
	fi
	ipv6_off "$1"
	arp_off "$1"
	bridge_nf_call "$1"
}

quiet_port() { # DEV
	ipv6_off "$1"
	arp_off "$1"
}

enslave() { # DEV BRIDGE
	[ "$(master_of "$1")" = "$2" ] && return 0
	run ip link set dev "$1" master "$2"
	note port "$1" "$2"
}

# --- Undoing, by the facts. ---

# each FACT FUNCTION: call it for each such fact; what fails keeps no other back,
# but is remembered.
each() {
	noted "$1" | {
		rc=0
		while read -r dev of; do
			if exists "$dev" && [ "$dev" != "$keep" ]; then
				"$2" "$dev" "$of" || rc=2
			fi
		done
		exit $rc
	} || failed=yes
}

all_undone() {
	[ -z "$failed" ] || die "not all could be taken back, see above"
}

undo_bridge() { # BRIDGE
	run ip link del dev "$1"
}

# A port that somebody has put into another bridge meanwhile stays there.
undo_port() { # DEV BRIDGE
	[ "$2" = "$keep" ] || [ "$(master_of "$1")" != "$2" ] ||
		run ip link set dev "$1" nomaster
}

undo_nf_call() { # BRIDGE
	run ip link set dev "$1" type bridge nf_call_iptables 0 nf_call_ip6tables 0
}

undo_promisc() { # DEV
	run ip link set dev "$1" promisc off
}

undo_arp() { # DEV
	run ip link set dev "$1" arp on
}

undo_ipv6() { # DEV
	[ "$(master_of "$1")" ] || put 0 "/proc/sys/net/ipv6/conf/$1/disable_ipv6"
}

# As long as another vm is set up in this network namespace its script needs it.
undo_max_dist() {
	value=$(noted max_dist)
	[ "$value" ] || return 0
	for other in "${facts%"-$vm"}"-*; do
		theirs=$(sed -n 's/^up //p' "$other" 2>/dev/null)
		if [ "$other" != "$facts" ] && [ "$theirs" ] && exists "$theirs"; then
			[ "$dry" ] || echo "max_dist $value" >>"$other"
			return 0
		fi
	done
	put "$value" "$max_dist"
}

# undo_network BRIDGE: all but what concerns that bridge, if it is not empty.
undo_network() {
	keep=$1
	each port undo_port
	each bridge undo_bridge
	each nf_call undo_nf_call
	each promisc undo_promisc
	each arp undo_arp
	each ipv6 undo_ipv6
}
