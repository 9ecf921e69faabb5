#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# cli.sh - the tool: every command, option and way to be wrong; its manual, completion and setup scripts.
. "$(dirname "$(realpath "$0")")/lib.sh"

TOOLS=$REPO/tools
NETNS_FLAG=()	# where k() works
declare -A GRAMMAR=([all]=$(kcolo help))
for object in pair flow rule stats monitor top; do
	GRAMMAR[$object]=$(kcolo $object help)
done

# As little as can be is started for a check: there are hundreds.

# What has worked is noted: in the end every word of the grammar has to be there.
kcolo() {
	command kcolo "$@" || return
	echo "kcolo $*" >>"$TMP/ran"
}

# slurp VARIABLE FILE
slurp() {
	IFS= read -r -d '' "$1" <"$2"
	return 0
}

# k ARGS...: run the tool; what it says is in OUT and ERR (and $TMP/out), its status in $rc.
k() {
	kcolo "${NETNS_FLAG[@]}" "$@" >"$TMP/out" 2>"$TMP/err"
	rc=$?
	slurp OUT "$TMP/out"
	slurp ERR "$TMP/err"
	printf 'exit %d\n%s%s' $rc "$OUT" "$ERR"
}

# good ARGS...: it works and has nothing to complain.
good() {
	k "$@"
	[ "$rc" = 0 ] && [ ! "$ERR" ]
}

# silent ARGS...: it works and prints nothing.
silent() {
	good "$@" && [ ! "$OUT" ]
}

# a_line PATTERN TEXT: one of the lines matches.
a_line() {
	local line
	while IFS= read -r line; do
		[[ ! $line =~ $1 ]] || return 0
	done <<<"$2"
	return 1
}

# says PATTERN ARGS...: it works, and a line matches.
says() {
	local pattern=$1; shift
	good "$@" && a_line "$pattern" "$OUT"
}

# usage OBJECT ARGS...: exit 1, nothing on stdout, and a reason with the object's grammar on stderr; no OBJECT: the whole.
usage() {
	local grammar=${GRAMMAR[${1:-all}]}; shift
	k "$@"
	[ "$rc" = 1 ] && [ ! "$OUT" ] && [[ $ERR = 'Error: kcolo: '?*$'\n'"$grammar"$'\n' ]]
}

coproc JUDGE { python3 -uc '
import json, sys
for line in sys.stdin:
    path, _, expression = line.rstrip("\n").partition("\t")
    try:
        x = json.load(open(path))
        print("yes" if isinstance(x, list) and eval(expression) else "no")
    except Exception as e:
        print("no:", e)
'; }

# true_json EXPRESSION: what the tool has printed is a list, x there.
true_json() {
	local answer
	printf '%s\t%s\n' "$TMP/out" "$1" >&"${JUDGE[1]}"
	read -r answer <&"${JUDGE[0]}"
	echo "$answer: $1"
	[ "$answer" = yes ]
}

# json_list ARGS...
json_list() {
	good "$@" && true_json True
}

# py EXPRESSION ARGS...
py() {
	local expression=$1; shift
	good -j "$@" && true_json "$expression"
}

# refused PATTERN ARGS...: exit 2, nothing on stdout, the kernel's sentence on stderr, and nothing has changed.
refused() {
	local pattern=$1 before after; shift
	before=$(kcolo "${NETNS_FLAG[@]}" -j pair show 2>&1)
	k "$@"
	after=$(kcolo "${NETNS_FLAG[@]}" -j pair show 2>&1)
	[ "$rc" = 2 ] && [ ! "$OUT" ] && [[ $ERR =~ ^'Error: kcolo: '[^$'\n']*($pattern)[^$'\n']*$'\n'$ ]] && [ "$after" = "$before" ]
}

# ---- without a kernel

check_help() {
	local grammar o v
	check "help" says '^Usage: kcolo ' help
	check "-h" says '^Usage: kcolo ' -h
	check "--help" says '^Usage: kcolo ' --help
	for o in pair flow rule stats monitor top; do
		check "$o help" says "^Usage: kcolo .*$o " $o help
		grammar=${GRAMMAR[$o]/Usage:/      }
		check "help has the grammar of $o" test "${GRAMMAR[all]/"$grammar"/}" != "${GRAMMAR[all]}"
	done
	for v in add set del show checkpoint failover; do
		check "pair $v help" says '^Usage: kcolo pair add' pair $v help
	done
	for v in add set del checkpoint failover; do
		check "pair $v NAME help" says '^Usage: kcolo pair add' pair $v x help
	done
	check "flow show help" says '^Usage: kcolo .*flow' flow show help
	for v in add del show; do
		check "rule $v help" says '^Usage: kcolo rule add' rule $v help
	done
	for v in show histogram; do
		check "stats $v help" says '^Usage: kcolo .*stats' stats $v help
	done
	check "help needs no namespace" says '^Usage: kcolo ' -n nosuchnamespace pair help
	check "-V" says '^kcolo [0-9]+\.[0-9]+.*, module ' -V
	check "-Version" says '^kcolo ' -Version
	check "--Version" says '^kcolo ' --Version
}

check_usage() {
	local bad add=(pair add x role primary vm a peer b)
	check "usage: an empty object" usage '' ''
	check "usage: no object" usage ''
	for bad in nosuch p pai pairs -x --nosuch -n -b '-b FILE pair' '-n a/b pair'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage '' $bad
	done
	for bad in 'pair nosuch' 'pair sho' 'pair show a b' 'pair add' 'pair add x' 'pair add x role primary vm a' \
		'pair add x vm a peer b' 'pair add x role primary peer b' 'pair add x role primary vm a peer' \
		'pair add x role tertiary vm a peer b' 'pair add x role prim vm a peer b' 'pair add x ro primary vm a peer b' \
		'pair add x role primary vm a vm c peer b' 'pair add x role primary vm a peer b mode watch' \
		'pair add x role primary vm a peer b mode 0' 'pair add x role primary vm a peer b junk' \
		'pair set' 'pair set x' 'pair set x role primary' 'pair set x epoch 1' 'pair set x state running' 'pair set x timeout' \
		'pair del' 'pair del x y' 'pair del x force force' 'pair checkpoint' 'pair checkpoint x nosuch' \
		'pair checkpoint x begin epoch 1' 'pair checkpoint x commit 1' 'pair checkpoint x commit epoch' \
		'pair checkpoint x commit epoch -1' 'pair checkpoint x abort x' 'pair failover' 'pair failover x begin' \
		'pair failover x commit x' 'pair save'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage pair $bad
	done
	for bad in -1 +1 0x10 '' ' 1' '1 ' 1e3 1.5 4294967296 18446744073709551616 99999999999999999999999 ten; do
		check "usage: number \"$bad\"" usage pair "${add[@]}" timeout "$bad"
		check "usage: epoch \"$bad\"" usage pair pair checkpoint x commit epoch "$bad"
	done
	for bad in scan max-packets max-bytes max-flows min-interval; do
		check "usage: $bad" usage pair "${add[@]}" $bad -1
	done
	for bad in 'flow list' 'flow show x' 'flow show pair' 'flow show pair x pair y' 'flow show src 1.2.3' \
		'flow show src 1.2.3.4/8' 'flow show dst example.org' 'flow show dst 1::2::3' 'flow show sport 65536' \
		'flow show dport -1' 'flow show dport http' 'flow show proto 256' 'flow show proto nosuch' 'flow save' 'flow save x' 'flow restore pair' 'flow save pair x y'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage flow $bad
	done
	for bad in 'stats x' 'stats show x' 'stats show pair' 'stats show pair a b' 'stats histogram x' 'stats histogram pair'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage stats $bad
	done
	for bad in 'monitor nosuch' 'monitor pair flow' 'monitor mis'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage monitor $bad
	done
	for bad in 'top nosuch' 'top pair' 'top pair a pair b' 'top interval 99' 'top interval 3600001' 'top interval x' 'top count 0' \
		'top count -1' 'top count' 'top pair 12345678901234567890123456789012'; do
		# shellcheck disable=SC2086 # words
		check "usage: $bad" usage top $bad
	done
	bad=$(printf '%0100000d' 1)
	check "usage: a name of 100000 letters" usage pair pair del "$bad"
}

# squeezed: the words, one blank between two.
squeezed() {
	tr -s ' \n\t' ' '
}

# synopsis PAGE
synopsis() {
	mandoc -Tutf8 -O width=200 "$TOOLS/man/$1.8" | col -b | sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' | sed '1d;$d' | squeezed
}

# grammar PAGE: what the help of a program or an object says up to the explanations.
grammar() {
	local words=$1
	case $words in kcolo-pair | kcolo-flow | kcolo-rule | kcolo-stats | kcolo-monitor | kcolo-top) words="kcolo ${words#*-}" ;; esac
	# shellcheck disable=SC2086 # words
	PATH=$SCRIPTS:$PATH $words help | sed '/^Options:/,$d; /^Sends/,$d' | squeezed
}

completes() {
	local want=$1; shift
	# shellcheck disable=SC1090,SC1091 # a file of the tree
	. "$TOOLS/completion/kcolo"
	# shellcheck disable=SC2034 # bash's own
	COMP_WORDS=(kcolo "$@") COMP_CWORD=$# COMPREPLY=()
	_kcolo
	echo "got: ${COMPREPLY[*]}"
	[ "$(printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' ')" = "$want" ]
}

check_documents() {
	if command -v mandoc >/dev/null; then
		local page
		for page in "$TOOLS"/man/*.8; do
			check "the manual is well-formed: ${page##*/}" sh -c "! mandoc -Tlint '$page' | grep ."
		done
		for page in kcolo kcolo-{pair,flow,rule,stats,monitor,top,primary,secondary,quick,announce}; do
			synopsis "$page" >"$TMP/synopsis"
			check "the manual's synopsis is what help prints: $page" diff "$TMP/synopsis" <(printf ' '; grammar "$page")
		done
	else
		skip "the manual" "there is no mandoc"
	fi
	if python3 -c 'import yaml' 2>/dev/null; then
		check "names and manual agree with the spec" "$TOOLS/kcolo/spec-names.py" -c
	else
		skip "names and manual agree with the spec" "there is no python3-yaml"
	fi
	check "completion: objects" completes "flow help monitor pair rule stats top" ''
	check "completion: options" completes "-n -netns" -n
	check "completion: verbs" completes "add checkpoint del failover help set show" pair ''
	check "completion: settings" completes "max-bytes max-flows max-packets min-interval mode peer scan timeout vm" \
		pair add x role primary ''
	check "completion: values" completes "primary secondary" pair add x role ''
	check "completion: alternatives" completes "abort begin commit" pair checkpoint x ''
	check "completion: what belongs to one of them" completes "epoch" pair checkpoint x commit ''
	check "completion: nothing more" completes "" pair checkpoint x abort ''
	check "completion: a rule" completes "action cvlan dport dst pair proto sport src vlan" rule add ''
	check "completion: what a rule does" completes "bypass compare" rule add pair x action ''
	check "completion: events" completes "all checkpoint flow miscompare pair" monitor ''
	check "completion: top" completes "count interval" top pair x ''
	check "completion: stats" completes "help histogram show" stats ''
	check "completion: devices" completes "lo" pair add x vm lo
}

# Commands that print what is there fail without a module, too; only its cure differs from other refusals.
check_no_module() {
	local command
	if [ -d /sys/module/kcolo ]; then
		if ! [ "${KCOLO_KO:-}" ] || ! rmmod kcolo 2>/dev/null; then
			skip "without the module" "kcolo is loaded and cannot be unloaded"
			return
		fi
	fi
	check "-V without the module" says 'not loaded' -V
	for command in pair 'pair show x' 'pair del x' 'pair add x role primary vm a peer b' 'pair checkpoint x' 'flow show' \
		'stats show' monitor '-j pair show' '-s pair show'; do
		# shellcheck disable=SC2086 # words
		check "without the module: $command" refused 'not loaded: modprobe kcolo, or insmod kcolo.ko' $command
	done
	check "without the module: usage comes first" usage pair pair foo
}

check_help
check_usage
check_documents
check_no_module
if [ ! -d /sys/module/kcolo ] && ! "$SELFTESTS/load"; then
	skip "everything that needs the kernel" "no module"
	finish
fi

# ---- with a kernel

topo_up
NETNS_FLAG=(-n ph)
P=(role primary vm vm peer peer)

check "-V with the module" says ', module ([0-9.]+|of unknown version)$' -V
check "no pair: text" silent pair
check "no pair: JSON" py 'x == []' pair show
check "no pair: flows" py 'x == []' flow
check "no pair: counters" py 'x == []' stats
check "show one that is not there" refused "" pair show nosuch
check "JSON: an error leaves stdout empty" refused "" -j pair show nosuch
check "stats show of a pair that is not there" refused "" stats show pair nosuch
for verb in 'set nosuch timeout 100' 'del nosuch' 'checkpoint nosuch' 'checkpoint nosuch begin' 'failover nosuch'; do
	# shellcheck disable=SC2086 # words
	check "pair $verb" refused "" pair $verb
done
check "add: no such vm" refused "" pair add a role primary vm nosuch peer peer
check "add: no such peer" refused "" pair add a role primary vm vm peer nosuch
check "add: a port twice" refused "" pair add a role primary vm vm peer vm
check "add: a name of 32 letters" refused "at most 31" pair add 12345678901234567890123456789012 "${P[@]}"
check "add: a device of 16 letters" refused "at most 15" pair add a role primary vm 1234567890123456 peer peer
for bad in 'timeout 9 10' 'timeout 600001 600000' 'scan 9 10' 'max-packets 0 1' 'max-bytes 65535 65536' \
	'max-flows 0 1' 'max-flows 4194305 4194304' 'min-interval 600001 600000'; do
	read -r word value bound <<<"$bad"
	check "add: $word $value" refused "$word.*$bound" pair add a "${P[@]}" "$word" "$value"
done

check "add" silent pair add a "${P[@]}"
check "add: the name is taken" refused "" pair add a "${P[@]}"
check "add: the ports are taken" refused "" pair add b "${P[@]}"
text='^pair a: role primary vm vm peer peer mode hold state running epoch 0 timeout 3000 scan 1000 max-packets [0-9]+'
text+=' max-bytes [0-9]+ max-flows [0-9]+ min-interval [0-9]+$'
check "show" says "$text" pair show
check "show is the default" says "$text" pair
check "show NAME" says "$text" pair show a
keys="['pair', 'role', 'vm', 'peer', 'mode', 'state', 'epoch', 'timeout_ms', 'scan_ms', 'max_packets', 'max_bytes', \
'max_flows', 'min_interval_ms']"
check "show: JSON" py "len(x) == 1 and sorted(x[0]) == sorted($keys)" pair show
check "show: JSON, pretty" json_list -j -p pair show
check "pretty is indented" grep -q '^    "pair": "a"' "$TMP/out"
check "-json -pretty" json_list -json -pretty pair show
check "--json" json_list --json pair

for setting in 'timeout timeout_ms 1234' 'scan scan_ms 200' 'max-packets max_packets 77' 'max-bytes max_bytes 123456' \
	'max-flows max_flows 99' 'min-interval min_interval_ms 0' 'timeout timeout_ms 600000'; do
	read -r word key value <<<"$setting"
	check "set $word" silent pair set a "$word" "$value"
	check "set $word: it shows" py "x[0]['$key'] == $value" pair show a
	check "set $word: out of range" refused "" pair set a "$word" 4294967295
done
check "set mode" silent pair set a mode observe
check "set mode: it shows" py "x[0]['mode'] == 'observe'" pair show a
check "set mode back" silent pair set a mode hold
check "set several" silent pair set a timeout 3000 scan 1000
check "set several: they show" py "x[0]['timeout_ms'] == 3000 and x[0]['scan_ms'] == 1000" pair show a
check "set: one wrong, none changed" refused "" pair set a timeout 4000 scan 1
check "del" silent pair del a
check "add with all settings" silent pair add a vm vm mode hold timeout 1000 scan 100 max-packets 10 max-bytes 70000 \
	max-flows 5 min-interval 7 peer peer role primary
check "all settings show" says 'timeout 1000 scan 100 max-packets 10 max-bytes 70000 max-flows 5 min-interval 7$' pair show a
check "set the ports" silent pair set a vm vm peer peer
check "del after all settings" silent pair del a
warned() {
	k "$@"
	[ "$rc" = 0 ] && [ ! "$OUT" ] && [[ $ERR = 'Warning: kcolo: '*'net.ipv4.ipfrag_max_dist to 0'$'\n' ]]
}
at ph sysctl -qw net.ipv4.ipfrag_max_dist=64
check "S3 add: what the host lacks" warned pair add a "${P[@]}"
at ph sysctl -qw net.ipv4.ipfrag_max_dist=0
check "del after the warning" silent pair del a
check "add in mode observe" silent pair add a "${P[@]}" mode observe
check "observe shows" py "x[0]['mode'] == 'observe'" pair show a
check "set it to hold" silent pair set a mode hold

# ---- rules

check "no rule" silent rule show
check "no rule: JSON" py 'x == []' rule show pair a
check "rule add" silent rule add pair a proto udp src 10.0.0.0/24 dst 192.0.2.1 sport 53 dport 1024 action bypass
check "rule add, IPv6, by number" silent rule add pair a proto 132 src fd00::/64 action compare
check "rule show" says '^pair a id 1 proto udp src 10.0.0.0/24 dst 192.0.2.1/32 sport 53 dport 1024 action bypass packets 0$' \
	rule show
check "rule show: the second" says '^pair a id 2 proto sctp src fd00::/64 action compare packets 0$' rule show pair a
check "rule show: JSON" py "[r['id'] for r in x] == [1, 2] and x[0]['action'] == 'bypass' and x[1]['src'] == 'fd00::/64'" rule
check "rule add, in a VLAN" silent rule add pair a vlan 4094 cvlan 1 action bypass
check "rule show: VLANs" says '^pair a id 3 vlan 4094 cvlan 1 action bypass packets 0$' rule show
check "rule show: VLANs, JSON" py "(x[2]['vlan'], x[2]['cvlan']) == (4094, 1) and 'vlan' not in x[0]" rule show
check "rule add: VLAN 0 is none" refused "" rule add pair a vlan 0 action bypass
check "rule add: VLAN 4095 is reserved" refused "" rule add pair a cvlan 4095 action bypass
check "rule del: VLANs" silent rule del pair a id 3
for bad in 'show x' 'show pair' 'add' 'add pair a' 'add pair a action drop' 'add pair a proto nosuch action bypass' \
	'add pair a src 10.0.0.1/33 action bypass' 'add pair a src fd00::/129 action bypass' 'add pair a sport 65536 action bypass' \
	'add pair a action bypass action bypass' 'del' 'del pair a' 'del id 1' 'del pair a id x'; do
	# shellcheck disable=SC2086 # words
	check "usage: rule $bad" usage rule rule $bad
done
check "rule add: two families" refused "" rule add pair a src 10.0.0.1 dst fd00::1 action bypass
check "rule add: no such pair" refused "" rule add pair nosuch action bypass
check "rule show: no such pair" refused "" rule show pair nosuch
check "rule del: no such rule" refused "" rule del pair a id 3
check "rule del" silent rule del pair a id 1
check "rule del: it is gone" py "[r['id'] for r in x] == [2]" rule show
check "rule del: the last one" silent rule del pair a id 2

# ---- counters

mapfile -t counters < <(sed -n '/^\.\\" counters/,/^\.\\" end/s/^\.B //p' "$TOOLS/man/kcolo-stats.8" | sed 's/\\//g')

# listed FORMAT: every counter of the manual is there.
listed() {
	local name pattern
	for name in "${counters[@]}"; do
		# shellcheck disable=SC2059 # the format is an argument
		printf -v pattern "$1" "$name"
		a_line "$pattern" "$OUT" || { echo "no $name"; return 1; }
	done
}

check "the manual has counters" test ${#counters[@]} -gt 40
check "stats show" says '^pair a:$' stats show
check "stats show: all counters" listed '^    %s [0-9]+$'
check "stats show pair NAME" says '^    held 0$' stats show pair a
check "stats" says '^pair a:$' stats
check "-s pair show" says '^    held 0 held-bytes 0 ' -s pair show
check "-s pair show: all counters" listed '(^| )%s [0-9]+( |$)'
check "-s pair show: lines of 78 columns at most" test -z "$(tail -n +2 "$TMP/out" | grep '.\{79\}')"
check "-s pair show NAME" says '^    held 0 held-bytes 0 ' -statistics pair show a
check "stats: JSON" py "x[0]['pair'] == 'a' and x[0]['held'] == 0 and len(x[0]) >= ${#counters[@]} + 1" stats show
check "stats: JSON keys are snake_case" py "all(k.replace('_', '').isalnum() and k == k.lower() for k in x[0])" stats show
check "stats histogram" says '^    compare-lag: count 0 p50 0us p99 0us$' stats histogram
check "stats histogram pair NAME" says '^    hold-times: count 0 p50 0us p99 0us$' stats histogram pair a
check "stats histogram: JSON" py "x[0]['hold_times']['count'] == 0 and x[0]['compare_lag']['buckets'][3] == {'below_us': 8, 'count': 0}" \
	stats histogram
check "stats histogram of a pair that is not there" refused "" stats histogram pair nosuch
check "-s pair show: JSON" py "x[0]['stats']['held_bytes'] == 0" -s pair show

# ---- checkpoints, failover

state() {
	py "x[0]['state'] == '$1'" pair show a
}

check "checkpoint begin" silent pair checkpoint a begin
check "checkpoint begin: the state" state checkpoint
check "checkpoint abort" silent pair checkpoint a abort
check "checkpoint abort: the state" state running
check "checkpoint begin again" silent pair checkpoint a begin
check "checkpoint commit" says '^pair a: epoch 1 state running$' pair checkpoint a commit
check "checkpoint: begin and commit" says '^pair a: epoch 2 state running$' pair checkpoint a
check "checkpoint begin, for an epoch" silent pair checkpoint a begin
check "checkpoint commit epoch" says '^pair a: epoch 9 state running$' pair checkpoint a commit epoch 9
check "checkpoint commit epoch, again" says '^pair a: epoch 9 state running$' pair checkpoint a commit epoch 9
check "checkpoint: JSON" py "x == [{'pair': 'a', 'epoch': 10, 'state': 'running'}]" pair checkpoint a
check "failover of a primary" silent pair failover a
check "failover of a primary: the state" state bypass
check "del again" silent pair del a

NETNS_FLAG=(-n sh)
check "add a secondary" silent pair add a role secondary vm vm peer peer
check "a secondary's show" says '^pair a: role secondary vm vm peer peer .*state running epoch 0 .*translated 0' pair show
check "a secondary's checkpoint" says '^pair a: epoch 1 state running$' pair checkpoint a
check "a secondary's begin" silent pair checkpoint a begin
check "failover in a checkpoint" silent pair failover a commit
check "failover in a checkpoint: the state" state failover
check "del force" silent pair del a force
check "add a secondary again" silent pair add a role secondary vm vm peer peer
check "a secondary's begin again" silent pair checkpoint a begin
check "failover in a checkpoint, not loaded" silent pair failover a abort
check "failover in a checkpoint, not loaded: the state" state failover
check "del force again" silent pair del a force

# ---- namespaces, rights

NETNS_FLAG=(-n ph)
check "add again" silent pair add a "${P[@]}"
check "-netns" says '^pair a:' -netns ph pair show a
NETNS_FLAG=()
check "another namespace has other pairs" py "x == []" pair show
check "ip netns exec" sh -c "ip netns exec ph kcolo pair show a | grep -q '^pair a:'"
check "-n: no such namespace" refused nosuchnamespace -n nosuchnamespace pair show
NETNS_FLAG=(-n ph)
unprivileged() {
	at ph setpriv --reuid 65534 --regid 65534 --clear-groups kcolo "$@" >"$TMP/out" 2>&1
	[ $? = 2 ] && grep -q '^Error: kcolo: .*Operation not permitted' "$TMP/out"
}
for command in 'pair show' 'pair del a' 'stats show' 'flow show' monitor; do
	# shellcheck disable=SC2086 # words
	check "without rights: $command" unprivileged $command
done
check "a full disk" sh -c "kcolo -n ph pair show >/dev/full 2>'$TMP/err'; [ \$? = 2 ] && grep -q 'cannot write' '$TMP/err'"

# ---- batches

batch() {
	printf '%s\n' "$@" >"$TMP/batch"
}

batch '# a comment' '' '   # another' 'pair set a timeout 111 # behind' "pair set 'a' \\" '  scan "222"' 'pair show a'
check "batch" says '^pair a: .* timeout 111 scan 222 ' -b "$TMP/batch"
check "batch from stdin" sh -c "kcolo -n ph -b - <'$TMP/batch' | grep -q 'timeout 111'"
check "-batch, JSON" py "x[0]['timeout_ms'] == 111" -batch "$TMP/batch"
batch 'pair set a timeout 1000' 'pair set nosuch timeout 1' 'pair nosuch' 'pair set a timeout 2000'
k -b "$TMP/batch" >/dev/null
check "batch: the status of the first failure" test "$rc" = 2
check "batch: where it was" grep -q "^Command failed $TMP/batch:2$" "$TMP/err"
check "batch: ends there" py "x[0]['timeout_ms'] == 1000" pair show a
k -force -b "$TMP/batch" >/dev/null
check "-force: the status of the first failure" test "$rc" = 2
check "-force: every failure is told" test "$(grep -c "^Command failed $TMP/batch:[23]$" "$TMP/err")" = 2
check "-force: goes on" py "x[0]['timeout_ms'] == 2000" pair show a
batch 'pair nosuch' 'pair set nosuch timeout 100'
k -force -b "$TMP/batch" >/dev/null
check "-force: usage first, status 1" test "$rc" = 1
batch 'pair set "a timeout 100'
k -b "$TMP/batch" >/dev/null
check "batch: an open quote" test "$rc" = 1
batch ''
check "batch: nothing to do" silent -b "$TMP/batch"
check "-force: nothing to do" silent -force -b "$TMP/batch"
k -b "$TMP/nosuch" >/dev/null
check "batch: no such file" test "$rc:$(wc -l <"$TMP/err")" = 1:1
k -b / >/dev/null
check "batch: a directory" test "$rc:$(cat "$TMP/err")" = '1:Error: kcolo: cannot read "/": Is a directory'

# ---- events

heard_all() {
	[ "$(wc -l <"$TMP/$1.out")" -ge "$2" ]
}

# The bit of the group that the monitor joins last tells that it listens.
listening() {
	# shellcheck disable=SC2016 # awk's own
	at ph awk -v pid="${PID[$1]}" '$2 == 16 && $3 == pid && substr($4, 5, 1) ~ /[89a-f]/ { found = 1 } END { exit !found }' \
		/proc/net/netlink
}

# listen NAME ARGS...: in the background; what it was asked is noted.
listen() {
	bg "$1" ph kcolo "${@:2}"
	echo "kcolo ${*:2}" >>"$TMP/ran"
}

for name in 'all -j monitor' 'all2 -j monitor all' 'pair monitor pair' 'ckpt -ts monitor checkpoint' 'stamp -t monitor pair' 'stamp2 -timestamp monitor pair' 'ckpt2 -tshort monitor checkpoint' \
	'miscompare monitor miscompare' 'flow monitor flow'; do
	read -ra words <<<"$name"
	listen "${words[@]}"
	check "monitor: /proc/net/netlink tells that it listens: ${words[*]:1}" wait_for 5 listening "${words[0]}"
done
kcolo -n ph pair set a timeout 1500
kcolo -n ph pair checkpoint a >/dev/null
kcolo -n ph pair del a
check "monitor pair" wait_for 5 grep -q '^pair-del a' "$TMP/pair.out"
check "monitor" wait_for 5 grep -q '"event":"pair-del"' "$TMP/all.out"
for name in all2 stamp stamp2; do wait_for 5 grep -q pair-del "$TMP/$name.out"; done
for name in ckpt ckpt2; do wait_for 5 grep -q ' action commit ' "$TMP/$name.out"; done
check "monitor pair: of a setting" grep -Eq '^pair a (role primary |vm vm |peer peer |state running |epoch 0 |cause user)' "$TMP/pair.out"
check "monitor pair: nothing else" sh -c "! grep -Ev '^pair(-del)? ' '$TMP/pair.out'"
check "monitor -ts checkpoint: begin" grep -Eq '^\[20[0-9-]{8}T[0-9:]{8}\.[0-9]{6}\] checkpoint pair a action begin ' "$TMP/ckpt.out"
check "monitor -ts checkpoint: commit" grep -Eq ' checkpoint pair a action commit epoch 1 cause user$' "$TMP/ckpt.out"
check "monitor -t" grep -Eq '^Timestamp: [A-Z][a-z]{2} [A-Z][a-z]{2} .* 20[0-9]{2} [0-9]+ usec$' "$TMP/stamp.out"
check "monitor miscompare, monitor flow: nothing" test ! -s "$TMP/miscompare.out" -a ! -s "$TMP/flow.out"
check "monitor: one JSON object a line" python3 - "$TMP/all.out" <<-'END'
	import datetime, json, sys
	events = [json.loads(line) for line in open(sys.argv[1])]
	assert all(list(e)[:3] == ['timestamp', 'event', 'pair'] for e in events), events
	assert all(datetime.datetime.fromisoformat(e['timestamp']).tzinfo for e in events), events
	actions = [(e['action'], e['epoch'], e['cause']) for e in events if e['event'] == 'checkpoint']
	assert actions[0][0] == 'begin' and actions[1] == ('commit', 1, 'user'), actions
	assert events[-1]['event'] == 'pair-del' and events[-1]['cause'] == 'user', events
END
check "monitor -timestamp, -tshort" sh -c "grep -q '^Timestamp: ' '$TMP/stamp2.out' && grep -Eq '^\[20.*\] checkpoint ' '$TMP/ckpt2.out'"
check "monitor all: the same" test "$(wc -l <"$TMP/all2.out")" = "$(wc -l <"$TMP/all.out")"

# ends NAME SIGNAL: and well.
ends() {
	kill "-$2" "${PID[$1]}"
	reap "$1"
}

check "monitor: SIGINT ends it well" ends all INT
check "monitor: SIGTERM ends it well" ends pair TERM
stop all2 ckpt ckpt2 stamp stamp2 miscompare flow

# ---- events that come faster than they are read

check "add for the overrun" silent pair add a "${P[@]}" timeout 3000
listen late -j monitor
check "monitor: it listens" wait_for 5 listening late
kill -STOP "${PID[late]}"
for ((i = 0; i < 20000; i++)); do echo 'pair set a timeout 1000'; done >"$TMP/batch"
check "20000 events" silent -b "$TMP/batch"
check "monitor: the last one is lost" silent pair checkpoint a begin
kill -CONT "${PID[late]}"
check "monitor: an overrun is told, and how things are" wait_for 20 grep -q '"event":"resync"' "$TMP/late.out"
check "monitor: after it events come again" silent pair checkpoint a abort
wait_for 5 grep -q '"action":"abort"' "$TMP/late.out"
check "monitor: first what was there, then the overrun's resync, then the rest" python3 - "$TMP/late.out" <<-'END'
	import json, sys
	events = [json.loads(line) for line in open(sys.argv[1])]
	names = [e['event'] for e in events]
	assert names.count('overrun') >= 1 and names.count('resync') == 1, [n for n in names if n != 'pair']
	at = names.index('resync')
	assert 'pair' not in names[at:] and len(events) < 20000, (at, len(events))
	assert not [e for e in events if e.get('action') == 'begin']
	known = {k: v for k, v in events[at].items() if k != 'timestamp'}
	assert known == {'event': 'resync', 'pair': 'a', 'role': 'primary', 'vm': 'vm', 'peer': 'peer', 'state': 'checkpoint',
	                 'epoch': 0}, known
	assert [e['action'] for e in events[at + 1:]] == ['abort'], events[at:]
END
stop late
check "del after the overrun" silent pair del a

# ---- top

check "add for top" silent pair add a "${P[@]}"
check "top: a picture" says '^a            primary   running         0      0      0      0      0      0      -      -      0 -$' top interval 100 count 1
check "top: as many as asked for" test "$(k top pair a interval 100 count 3 | grep -c '^PAIR ')" = 3
check "top: of a pair that is not there" refused "" top pair nosuch
check "top: JSON" good -j top interval 100 count 2
check "top: one object a line" python3 - "$TMP/out" <<-'END'
	import json, sys
	lines = [json.loads(line) for line in open(sys.argv[1])]
	assert len(lines) == 2 and all(100 <= x['interval_ms'] < 5000 for x in lines), lines
	assert [p['pair'] for p in lines[1]['pairs']] == ['a'] and lines[1]['flows'] == [], lines
	want = {'pair', 'role', 'state', 'epoch', 'held', 'held_bytes', 'flows', 'miscompares', 'packets_per_s', 'compared_bytes_per_s'}
	assert set(lines[1]['pairs'][0]) == want, lines[1]['pairs']
END
bg top ph kcolo top interval 60000
wait_for 10 sh -c "ls -l /proc/${PID[top]}/fd | grep -q signalfd"
check "top: SIGTERM ends it well" kill "${PID[top]}"
check "top: its status" reap top
pictures() {
	[ "$(grep -c $'\e\\[HPAIR' "$TMP/screen")" -ge 2 ]
}
at ph script -qec 'kcolo top interval 200' /dev/null >"$TMP/screen" < <(wait_for 20 pictures; echo q; sleep 1) &
check "top: q ends it, on a terminal" wait $!
check "top: pictures overwrite each other" pictures
check "del after top" silent pair del a

# ---- a kernel that is newer than the tool: the same kernel, and a tool that lacks some names

# The setting "mode", the last counter, the state "checkpoint", the event "checkpoint", and of a miscompare the reason.
older_tool() {
	mkdir "$TMP/old" && cp -r "$TOOLS" "$REPO/uapi" "$TMP/old" && cd "$TMP/old/tools/kcolo" &&
		sed -i '/FIELD(MODE,/,/names_mode),/d' cmd_pair.c && sed -i '/FIELD(REASON,/d' last.c &&
		sed -i '/\[KCOLO_CMD_CHECKPOINT_NTF\]/d; /^static const struct field checkpoint_fields/,/^};/d' monitor.c &&
		sed -i '/^\t"events-lost",$/d; /^\t"checkpoint",$/s/.*/\tNULL,/; /^_Static_assert/,/;$/d' names.c &&
		make -s O="$TMP/old/build" "$TMP/old/build/kcolo"
}

check "an older tool" older_tool
check "newer kernel: add" silent pair add a "${P[@]}"
bg newer ph "$TMP/old/build/kcolo" -j monitor
check "newer kernel: the monitor listens" wait_for 5 listening newer
check "newer kernel: begin" silent pair checkpoint a begin
old() {
	command "$TMP/old/build/kcolo" -n ph "$@" >"$TMP/out" && cat "$TMP/out"
}
check "newer kernel: a setting without a name" sh -c "'$TMP/old/build/kcolo' -n ph pair show a | grep -q ' state unknown-1 .* attr-6 0'"
old -j pair show >/dev/null
check "newer kernel: in JSON" true_json "x[0]['attr_6'] == 0 and x[0]['state'] == 'unknown-1' and 'mode' not in x[0]"
old -j stats show >/dev/null
check "newer kernel: a counter without a name" true_json "[v for k, v in x[0].items() if k.startswith('attr_')] == [0]"
check "newer kernel: a counter in text" sh -c "'$TMP/old/build/kcolo' -n ph stats show | grep -Eq '^    attr-[0-9]+ 0$'"
check "newer kernel: abort" silent pair checkpoint a abort
check "newer kernel: an event without a name" wait_for 5 grep -Eq '"event":"event-[0-9]+","pair":"a","attr_[0-9]+":' "$TMP/newer.out"
stop newer
check "newer kernel: del" silent pair del a

# ---- connections

flow_line() {
	kcolo -n "$1" flow show pair a | grep -Eq "$2"
}

if command -v replica >/dev/null; then
	NETNS_FLAG=(-n sh)
	check "add both: secondary" silent pair add a role secondary vm vm peer peer
	NETNS_FLAG=(-n ph)
	check "add both: primary" silent pair add a "${P[@]}"
	server pv && server sv
	for v in 4 6; do
		bg "idle$v" cl replica client "${GUEST[$v]}" 7000 echo 300 100
	done
	for v in 4 6; do
		ends=("${CLIENT[$v]}" "${GUEST[$v]}")
		[ $v = 4 ] || ends=("\\[${CLIENT[$v]}\\]" "\\[${GUEST[$v]}\\]")
		line="^tcp ${ends[0]}:[0-9]+ > ${ends[1]}:7000 pair a state established"
		check "flow show IPv$v, secondary" wait_for 10 flow_line sh "$line offset [0-9]+( |\$)"
		check "flow show IPv$v, primary" wait_for 10 flow_line ph "$line .*held [0-9]+ .*idle [0-9]+\.[0-9]s\$"
	done
	check "flow show: JSON" py "all(f['proto'] == 'tcp' and f['idle_ms'] >= 0 and f['dport'] == 7000 for f in x) and len(x) == 2" \
		flow show
	check "-s flow show" says ' held-bytes [0-9]+ compared-bytes [0-9]+ ' -s flow show
	check "flow show dst" py "len(x) == 1 and x[0]['dst'] == '${GUEST[4]}'" flow show dst "${GUEST[4]}"
	check "flow show src, IPv6" py "len(x) == 1 and x[0]['src'] == '${CLIENT[6]}'" flow show src "${CLIENT[6]}"
	check "flow show dport" py "len(x) == 2" flow show pair a dport 7000
	check "flow show dport of none" py "x == []" flow show dport 7001
	check "flow show sport of none" py "x == []" flow show sport 7000
	check "flow show proto" py "len(x) == 2" flow show proto tcp
	check "flow show proto by number" py "len(x) == 2" flow show proto 6
	check "flow show vlan of none" py "x == []" flow show vlan 5
	check "flow show cvlan of none" py "x == []" flow show vlan 5 cvlan 6
	check "flow show: in no VLAN" py "x == []" flow show vlan 5 cvlan 6
	check "flow show proto of none" py "x == []" flow show proto udp
	NETNS_FLAG=(-n sh)
	check "failover with connections" silent pair failover a
	check "flow save" good flow save pair a
	cp "$TMP/out" "$TMP/flows.json"
	check "flow save: a format of its own" python3 - "$TMP/flows.json" <<-'END'
		import json, sys
		x = json.load(open(sys.argv[1]))
		assert (x['format'], x['version']) == ('kcolo-flows', 1), x
		assert all(set(f) >= {'proto', 'src', 'sport', 'dst', 'dport', 'active_open', 'offset', 'tsoffset'} for f in x['flows']), x
	END
	check "del is refused while connections are translated" refused "" pair del a
	check "del force nevertheless" silent pair del a force
	NETNS_FLAG=(-n ph)
	check "del on the primary" silent pair del a
	NETNS_FLAG=(-n sh)
	check "add a secondary for flow restore" silent pair add a role secondary vm vm peer peer
	check "flow restore" silent flow restore pair a <"$TMP/flows.json"
	check "flow restore: they are dormant" py "len(x) == len(json.load(open('$TMP/flows.json'))['flows'])" flow show
	check "del force after flow restore" silent pair del a force
	NETNS_FLAG=(-n ph)
else
	skip "connections" "there is no replica"
fi

# ---- setup scripts

# links NETNS: what the scripts change.
links() {
	ip -n "$1" -o link | sed 's/state.*//; s/^[0-9]*: //' | sort
	ip netns exec "$1" sh -c 'tail -n 1 /proc/sys/net/ipv6/conf/*/disable_ipv6'
	tc -n "$1" qdisc show dev vm
	ip netns exec "$1" cat /proc/sys/net/ipv4/ipfrag_max_dist
}

script() {
	at "$1" "$SCRIPTS/kcolo-$2" "${@:3}" >"$TMP/out" 2>"$TMP/err"
	rc=$?
	[ "$rc" != 0 ] || echo "kcolo-${*:2}" >>"$TMP/ran"
	cat "$TMP/out" "$TMP/err"
	[ "$rc" = 0 ]
}

for role in primary secondary; do
	check "kcolo-$role help" sh -c "'$SCRIPTS/kcolo-$role' help | grep -q '^Usage: kcolo-$role '"
	for bad in '' nosuch 'up bridge' 'up vm vm' 'down' 'up nosuch x'; do
		# shellcheck disable=SC2086 # words
		check "kcolo-$role $bad: usage" sh -c "'$SCRIPTS/kcolo-$role' $bad 2>'$TMP/err'; [ \$? = 1 ] && grep -q '^Usage:' '$TMP/err'"
	done
done
peer_port() {
	bridge -n ph -d link show dev peer >"$TMP/out"
	cat "$TMP/out"
	grep -q 'learning off flood off mcast_flood off bcast_flood off' "$TMP/out" &&
		ip -n ph link show dev peer | grep -q 'NOARP.*PROMISC' && ! ip -n ph addr show dev peer | grep inet &&
		ip -n ph link show dev brp | grep -q NOARP && ! ip -n ph addr show dev brp | grep inet
}
check "S1 the primary's peer port hears all and says nothing" peer_port
check "up again is refused" sh -c "! ip netns exec ph '$SCRIPTS/kcolo-primary' up bridge br0 uplink uplink vm vm peer peer 2>/dev/null"
check "kcolo-primary down all" script ph primary down vm vm all
links ph >"$TMP/before"
check "kcolo-primary -n up" script ph primary -n up bridge br0 uplink uplink vm vm peer peer
cp "$TMP/out" "$TMP/dry"
links ph >"$TMP/after"
check "kcolo-primary -n up: nothing changed" diff "$TMP/before" "$TMP/after"
check "kcolo-primary up" script ph primary up bridge br0 uplink uplink vm vm peer peer
check "kcolo-primary up does what -n has shown" diff "$TMP/dry" "$TMP/out"
max_dist() {
	[ "$(at ph cat /proc/sys/net/ipv4/ipfrag_max_dist)" = "$1" ]
}
check "S3 kcolo-primary up: fragments are not counted" max_dist 0
ip -n ph link add vm2 type dummy
ip -n ph link add peer2 type dummy
check "kcolo-primary up, another vm" script ph primary up routed vm vm2 peer peer2 peer-bridge brq
check "kcolo-primary down" script ph primary down vm vm
check "S3 kcolo-primary down: the other vm keeps it" max_dist 0
check "kcolo-primary down, another vm" script ph primary down vm vm2
check "S3 kcolo-primary down: it is as before" max_dist 64
ip -n ph link del vm2
ip -n ph link del peer2
check "kcolo-primary down leaves the clients' bridge" test -e "/proc/$$" -a "$(ip -n ph -o link show master br0 | wc -l)" = 2
check "kcolo-primary down all, later" script ph primary down vm vm all
links ph >"$TMP/after"
check "kcolo-primary down all: as before" diff "$TMP/before" "$TMP/after"
check "kcolo-primary: a failing up" sh -c "! ip netns exec ph '$SCRIPTS/kcolo-primary' up bridge br0 vm vm peer nosuch 2>/dev/null"
ip -n ph addr add 192.0.2.1/32 dev peer
check "kcolo-primary: a peer with an address" sh -c "! ip netns exec ph '$SCRIPTS/kcolo-primary' up bridge br0 vm vm peer peer 2>/dev/null"
ip -n ph addr del 192.0.2.1/32 dev peer
# wrong WORDS...: refused as a wrong command line
wrong() {
	script "$@"
	[ "$rc" = 1 ]
}
check "kcolo-primary: the peer is the guest" wrong ph primary up bridge br0 vm vm peer vm
check "kcolo-primary: the peer is the uplink" wrong ph primary up bridge br0 uplink uplink vm vm peer uplink
check "kcolo-primary: one bridge for both" wrong ph primary up bridge br0 vm vm peer peer peer-bridge br0
check "kcolo-secondary: the peer is the guest" wrong sh secondary up bridge br2 vm vm peer vm
links ph >"$TMP/after"
check "kcolo-primary: a failing up changes nothing" diff "$TMP/before" "$TMP/after"

frames() {
	[ "$(grep -c "$1" "$TMP/sniff.out")" = "$2" ]
}
bg sniff cl tcpdump -Z root -lnei eth0 "ether src $GUEST_MAC"
wait_for 5 grep -q listening "$TMP/sniff.err"
check "takeover: a wrong address moves nothing" \
	sh -c "! ip netns exec sh '$SCRIPTS/kcolo-secondary' takeover vm vm bridge br0 announce $GUEST_MAC 1.2.3 2>/dev/null &&
		ip -n sh link show dev vm | grep -q 'master br1'"
check "takeover: a routed port's MAC" wrong sh secondary takeover vm vm bridge br0 mac "$GUEST_MAC"
check "takeover: a routed guest is not announced" wrong sh secondary takeover vm vm routed announce "$GUEST_MAC"
ip -n sh link del br0
check "takeover: no bridge" sh -c "! ip netns exec sh '$SCRIPTS/kcolo-secondary' takeover vm vm bridge br0 announce $GUEST_MAC 2>'$TMP/err'"
check "takeover: no bridge: what helps" grep -q 'there is no bridge br0; name the uplink' "$TMP/err"
check "takeover: no such uplink" sh -c "! ip netns exec sh '$SCRIPTS/kcolo-secondary' takeover vm vm bridge br0 uplink nosuch 2>/dev/null"
check "takeover: the guest as uplink" wrong sh secondary takeover vm vm bridge br0 uplink vm
check "takeover: nothing is moved" sh -c "ip -n sh link show dev vm | grep -q 'master br1' && ! ip -n sh link show dev br0 2>/dev/null"
check "takeover, the bridge is made" script sh secondary takeover vm vm bridge br0 uplink uplink times 2 announce "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
check "takeover: the port is moved" sh -c "ip -n sh link show dev vm | grep -q 'master br0'"
check "takeover: the bridge calls the hooks" \
	sh -c "ip -n sh -d link show dev br0 | grep -q 'nf_call_iptables 1 nf_call_ip6tables 1'"
check "takeover: RARP" wait_for 2 frames 'Reverse Request' 2
check "takeover: gratuitous ARP" wait_for 2 frames "Request who-has ${GUEST[4]} tell ${GUEST[4]}" 2
check "takeover: unsolicited NA" wait_for 2 frames "${GUEST[6]} > ff02::1: .*neighbor advertisement, tgt is ${GUEST[6]}" 2
check "takeover: checksums are right" sh -c "! grep -q 'bad.*cksum' '$TMP/sniff.out'"
check "takeover: the client reaches the guest" at cl ping -c 1 -W 2 "${GUEST[4]}"
stop sniff
check "takeover, again" script sh secondary takeover vm vm bridge br0 uplink uplink
ip -n sh link set dev vm nomaster
ip -n sh link set dev br0 type bridge stp_state 1 forward_delay 200
check "takeover, STP" script sh secondary takeover vm vm bridge br0 announce "$GUEST_MAC"
check "takeover, STP: it is told" grep -q 'br0 has STP on: clients reach the guest in 5 s only' "$TMP/err"
check "takeover, STP: but not announced too early" at cl ping -c 1 -W 2 "${GUEST[4]}"
ip -n sh link set dev br0 type bridge stp_state 0
ip -n sh link set dev vm down
ip -n sh link set dev vm nomaster
ip -n sv link set dev eth0 down
check "takeover, the guest is down" script sh secondary takeover vm vm bridge br0 announce "$GUEST_MAC"
check "takeover, the guest is down: it is told" grep -q 'br0 does not forward to vm now' "$TMP/err"
ip -n sv link set dev eth0 up
check "kcolo-secondary down" script sh secondary down vm vm
check "kcolo-secondary down: the guest stays with the clients" sh -c "ip -n sh link show dev vm | grep -q 'master br0'"
check "kcolo-secondary down: the hooks are called still" \
	sh -c "ip -n sh -d link show dev br0 | grep -q 'nf_call_iptables 1 nf_call_ip6tables 1'"
check "kcolo-secondary down: br1 is gone" sh -c "! ip -n sh link show dev br1 2>/dev/null"

# ---- nothing is left out

check "kcolo-secondary -n takeover, of a router" script sh secondary -n takeover vm vm bridge br0 router announce "$GUEST_MAC" fd00::2
ip -n sh link set dev vm nomaster
check "kcolo-secondary -n up" script sh secondary -n up bridge br1 vm vm peer peer
check "kcolo-secondary -n up: nothing is there" sh -c "! ip -n sh link show dev br1 2>/dev/null"
check "kcolo-secondary up" script sh secondary up bridge br1 vm vm peer peer
check "kcolo-secondary -n down" script sh secondary -n down vm vm
check "kcolo-secondary -n down: br1 is there" ip -n sh link show dev br1
check "kcolo-secondary down, again" script sh secondary down vm vm
check "kcolo-primary up, another name" script ph primary up bridge br0 uplink uplink vm vm peer peer peer-bridge brq
check "kcolo-primary up: it has that name" ip -n ph link show dev brq
check "kcolo-primary -n down" script ph primary -n down vm vm all
check "kcolo-primary -n down: it is there" ip -n ph link show dev brq
tc -n ph filter del dev vm egress
check "kcolo-primary down, another name" script ph primary down vm vm all
ip -n ph link set dev vm nomaster
links ph >"$TMP/before"
check "kcolo-primary up routed: in no bridge" sh -c "! ip netns exec ph '$SCRIPTS/kcolo-primary' up routed bridge br0 vm vm peer peer 2>/dev/null"
check "kcolo-primary up routed" script ph primary up routed vm vm peer peer
check "kcolo-primary up routed: the port is in no bridge" sh -c "! ip -n ph link show dev vm | grep master"
check "kcolo-primary up routed: the pair takes it" kcolo -n ph pair add routed role primary vm vm peer peer
kcolo -n ph pair del routed
check "kcolo-primary down, routed" script ph primary down vm vm
links ph >"$TMP/after"
check "kcolo-primary down, routed: as before" diff "$TMP/before" "$TMP/after"
check "kcolo-secondary up, for a router" script sh secondary up bridge br1 vm vm peer peer
check "takeover routed: a wrong address moves nothing" \
	sh -c "! ip netns exec sh '$SCRIPTS/kcolo-secondary' takeover vm vm routed address 10.0.0.1 2>/dev/null &&
		ip -n sh link show dev vm | grep -q 'master br1'"
check "takeover routed" script sh secondary takeover vm vm routed mac 52:54:00:00:00:fe address 10.0.0.254/24 address fd00::fe/64
check "takeover routed: it is what the primary's port was" \
	sh -c "ip -n sh addr show dev vm | tr '\n' ' ' | grep -q '52:54:00:00:00:fe.* 10.0.0.254/24.* fd00::fe/64' && ! ip -n sh link show dev vm | grep NOARP"
check "takeover routed: the guest reaches its router" at sv ping -c 1 -W 2 10.0.0.254
check "kcolo-secondary down, routed" script sh secondary down vm vm
for role in primary secondary; do
	check "kcolo-$role help, last" script ph $role help
done
check "kcolo-announce" at ph "$TOOLS/../build/kcolo-announce" dev uplink mac "$GUEST_MAC" times 1 interval 10 router "${GUEST[4]}" "${GUEST[6]}"
echo "kcolo-announce dev uplink mac $GUEST_MAC times 1 interval 10 router" >>"$TMP/ran"
for program in kcolo kcolo-primary kcolo-secondary kcolo-announce; do
	check "every command and every word of $program was used: help and manual tell the same" \
		sh -c "PATH=$SCRIPTS:\$PATH $program help | '$SELFTESTS/exercised.py' '$TMP/ran'"
done

finish
