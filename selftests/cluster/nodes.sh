# SPDX-License-Identifier: GPL-2.0
# nodes.sh - sourced after lib.sh: the two hosts as nodes of a cluster of corosync and Pacemaker, and a switch that turns them off.
# shellcheck shell=bash disable=SC2154 # lib.sh has set it

CLUSTER=$SELFTESTS/cluster
SWITCH=$TMP/switch

# conf_of HOST: the directory of the node's files
conf_of() { echo "$TMP/node.$1"; }

# cluster_conf: what both nodes have as corosync.conf; their address is on the link "mig".
cluster_conf() {
	cat <<-END
		totem {
			version: 2
			cluster_name: kcolo
			token: $((1000 * ${KCOLO_TEST_SCALE:-1}))
		}
		quorum {
			provider: corosync_votequorum
			two_node: 1
		}
		nodelist {
			node {
				name: ph
				nodeid: 1
				ring0_addr: 192.0.2.1
			}
			node {
				name: sh
				nodeid: 2
				ring0_addr: 192.0.2.2
			}
		}
		logging {
			to_stderr: yes
			to_syslog: no
		}
	END
}

# cluster_up: the switch, the agents, and both nodes, whose files are there.
cluster_up() {
	local node
	install -D -m 755 "$REPO/tools/ocf/kcolo" /usr/lib/ocf/resource.d/kcolo/kcolo
	install -m 755 "$CLUSTER/fence_switch" /usr/sbin/fence_switch
	mkdir -p "$SWITCH"
	mkfifo "$SWITCH/wishes"
	# Both ends, so that it never ends.
	while read -r wish; do node_off "$wish"; done <>"$SWITCH/wishes" &
	PID[switch]=$!
	for node in ph sh; do
		cluster_conf >"$(conf_of $node)/corosync.conf"
		node_up $node
	done
}

# The first processes do not listen to a request to end.
cluster_down() {
	local node
	for node in ph sh; do
		kill -9 "$(cat "$SWITCH/$node.pid")"
	done 2>/dev/null
	cleanup
}
trap cluster_down EXIT

# node_up HOST: its namespaces end with its first process, and that with who has started it.
node_up() {
	rm -f "$SWITCH/$1.off"
	bg "node.$1" "$1" unshare --mount --pid --ipc --uts --fork --mount-proc --kill-child "$CLUSTER/node" "$1" "$(conf_of "$1")"
	echo "${PID[node.$1]}" >"$SWITCH/$1.pid"
}

# node_off HOST: as if the machine were without power: nothing runs, no link has a carrier.
node_off() {
	local dev
	kill -9 "$(cat "$SWITCH/$1.pid")" 2>/dev/null
	ip -n lan link set "$1" down
	for dev in peer mig; do ip -n "$1" link set $dev down; done
	: >"$SWITCH/$1.off"
}

# node_on HOST: with power again, as after a boot.
node_on() {
	local dev host
	ip -n lan link set "$1" up
	for dev in peer mig; do
		for host in ph sh; do ip -n $host link set $dev up; done
	done
	stop "node.$1"
	node_up "$1"
}

# first_of HOST: the first process of the node
first_of() { pgrep -P "$(cat "$SWITCH/$1.pid")"; }

# on HOST COMMAND...: as a process of the node. The tools of a cluster that is not there may wait for ever.
on() { timeout $((20 * ${KCOLO_TEST_SCALE:-1})) nsenter --target "$(first_of "$1")" --all -- "${@:2}"; }

# bg_on NAME HOST COMMAND...: as bg(); it ends with the node.
bg_on() {
	nsenter --target "$(first_of "$2")" --all -- "${@:3}" >"$TMP/$1.out" 2>"$TMP/$1.err" &
	PID[$1]=$!
}

# online HOST...: that is what the first one thinks.
online() {
	local names="$*"
	on "$1" crm_mon --one-shot --exclude=all --include=nodes 2>/dev/null | grep -q "Online: \[ $names \]"
}

is_off() { [ -e "$SWITCH/$1.off" ]; }
