#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_redis.sh - redis-benchmark on a replicated redis, IPv4 and IPv6.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# Clients and both guests share one processor: a guest may be late, and nobody is here who would make a checkpoint.
pair_up timeout 20000
redis_up pv
redis_up sv

# Redis answers some commands by the order in which connections arrive, which two guests may see differently: those from
# one connection alone.
bench() {
	at cl timeout 60 redis-benchmark -h "${GUEST[$1]}" -q --csv "${@:2}"
}

for v in 4 6; do
	check "R1 R12 IPv$v: redis-benchmark, 50 connections" bench $v -t ping,set,get,mset -n 1000 -c 50
	check "R6 IPv$v: redis-benchmark, 50 connections, 16 commands at once" bench $v -t set,get -n 5000 -c 50 -P 16
	check "R1 IPv$v: redis-benchmark, one connection, commands whose order matters" \
		bench $v -t incr,lpush,rpush,lpop,rpop,sadd,hset,lrange_100 -n 500 -c 1
	check "R6 IPv$v: values of 100 kB" bench $v -t set,get -n 100 -c 1 -d 100000
done
check "both replicas hold the same" \
	test "$(at pv redis-cli --raw DEBUG DIGEST)" = "$(at sv redis-cli --raw DEBUG DIGEST)"
clean "redis"
finish
