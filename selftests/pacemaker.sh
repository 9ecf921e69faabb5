#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# pacemaker.sh - the hosts are two nodes of a Pacemaker cluster. One that is cut off is fenced and the other goes on, one that
# dies is replaced: by nobody's hand, and no client notices.
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$SELFTESTS/cluster/nodes.sh"

scale=${KCOLO_TEST_SCALE:-1}
began=$SECONDS
export TMP PAIR SELFTESTS

story() { note "[$((SECONDS - began)) s] $*"; }

# conf HOST PEER [LINE...]: the daemon's file
conf() {
	mkdir "$(conf_of "$1")"
	printf '%s\n' "qmp $TMP/$1.qmp" "migration $TMP/$1.mig" "peer $2 7010" "peer-silence $((3000 * scale))" "${@:3}" \
		>"$(conf_of "$1")/$PAIR.kcolod"
}

# guest NETNS HOST: what a node starts without the cluster: a server, and a QEMU that is played.
guest() {
	server "$1"
	bg_on "qemu.$2" "$2" "$SELFTESTS/played_qemu.py" "$2"
}

# As in Documentation/qemu.rst.
configure() {
	on ph crm configure load update - <<-END
		property stonith-enabled=true stonith-action=off priority-fencing-delay=$((3 * scale))s
		primitive power stonith:fence_switch params switch=$SWITCH pcmk_host_list="ph sh" op monitor interval=60s
		primitive $PAIR ocf:kcolo:kcolo params name=$PAIR op promote interval=0 timeout=60s \\
			op monitor interval=5s role=Promoted op monitor interval=6s role=Unpromoted
		clone $PAIR-pair $PAIR meta promotable=true promoted-max=1 clone-max=2 notify=true priority=10
	END
}

role_is() { on "$1" crm_resource --resource "$PAIR-pair" --locate | grep "on: $1 " | grep -c Promoted | grep -qx "$2"; }
phase_is() { on "$1" kcolod status "$PAIR" | grep -q "\"phase\":\"$2\""; }

# What one wants to see of a cluster that has failed.
tell_cluster() {
	on "$1" crm_mon --one-shot --inactive 2>&1 | note
	on "$1" cat /var/log/pacemaker/pacemaker.log | grep -E 'warning:|error:|Result of|failover' | tail -n 20 | cut -c1-200 | note
	on "$1" cat "/run/resource-agents/kcolod-$PAIR.log" | tail -n 10 | note
}

# clients: one that gets, one that sends, one that is idle most of the time; all under way.
clients() {
	local c=(cl replica client "${GUEST[4]}" 7000)
	syns=$(($(client_saw syns) + 3))
	bg get "${c[@]}" get "$1" --rate 2M --timeout $((40 * scale))
	bg put "${c[@]}" put "$1" --rate 2M --timeout $((40 * scale))
	bg idle "${c[@]}" echo 10 1500 --timeout $((40 * scale))
	sleep 2
	check "clients are under way" eval 'running get && running put && running idle'
}

# ended WHAT: as if nothing had happened, but for a pause.
ended() {
	local name
	for name in get put idle; do
		check "$1: $name ends with the right bytes" reap $name
		note "$(cat "$TMP/$name.out")"
	done
	check "$1: no reset reached the client" test "$(client_saw resets)" = 0
	check "$1: no other connection was opened" test "$(client_saw syns)" = "$syns"
}

colo() {
	check "COLO" on ph kcolod start "$PAIR"
	check "the secondary is a copy" wait_for $((20 * scale)) phase_is sh colo
	# The cluster hears of it when it looks.
	check "and may be promoted" wait_for $((20 * scale)) fit sh
	check "packets are held" in_state ph running
	story "COLO"
}

fit() { on "$1" crm_attribute --promotion="$PAIR" --node "$1" --query --quiet | grep -qx 50; }

topo_up
link ph mig sh mig
ip -n ph addr add 192.0.2.1/24 dev mig
ip -n sh addr add 192.0.2.2/24 dev mig
pair_up
conf ph 192.0.2.2
conf sh 192.0.2.1 "listen 192.0.2.2 7010" \
	"takeover $SCRIPTS/kcolo-secondary takeover vm vm bridge br0 announce $GUEST_MAC ${GUEST[4]}"
cluster_up
check "two nodes are a cluster" wait_for $((60 * scale)) online ph sh || { tail -n 5 "$TMP"/node.*.err | note; finish; }
story "a cluster"
guest pv ph
guest sv sh
check "configuration" configure
check "the primary's instance is promoted" wait_for $((30 * scale)) role_is ph 1 || tell_cluster ph
check "the secondary's is not" role_is sh 0
colo

# Both nodes live and do not see each other. The one with the promoted instance wins; until the other is fenced it lets
# nothing go that the other's guest may not have said.
clients 16M
ip -n ph link set mig down
ip -n ph link set peer down
story "the nodes are cut off from each other"
check "the secondary's node is fenced" wait_for $((20 * scale)) is_off sh || tell_cluster ph
check "F2 the primary goes on alone" wait_for $((10 * scale)) phase_is ph alone || tell_cluster ph
story "fenced"
check "the primary's node is not" running node.ph
check "S1 nobody has taken over" eval '! in_state sh failover'
ended "F2 cut off"
check "F2 nothing is held any more" wait_for 5 nothing_held

# The other node comes back, with a guest that knows nothing.
stop qemu.sh server.sv
node_on sh
kcolo -n sh pair del "$PAIR" force
check "pair add, secondary" kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer
check "the node is back" wait_for $((60 * scale)) online ph sh
guest sv sh
check "its daemon runs" wait_for $((30 * scale)) phase_is sh alone || tell_cluster ph
check "the primary's instance is still promoted" role_is ph 1
colo

clients 16M
node_off ph
story "the primary's node is dead"
check "F1 the secondary takes over" wait_for $((30 * scale)) in_state sh failover || tell_cluster sh
story "taken over"
ended "F1 dead node"
check "its instance is promoted" wait_for $((10 * scale)) role_is sh 1 || tell_cluster sh
check "F1 new connections are served" at cl replica client "${GUEST[4]}" 7000 get 300k
finish
