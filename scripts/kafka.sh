#!/bin/bash
# Runs a single Apache Kafka broker (KRaft) on this machine: kafka.sh start [PORT] | stop.
# The jars come from Maven Central into .tools/kafka/libs; all else lies in .tools/kafka/run, and goes when it stops.
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD/.tools/kafka
libs=$home/libs
state=$home/run

fail() {
    echo "kafka.sh: $*" >&2
    exit 1
}

fetch() {
    [ -f "$libs/.complete" ] && [ ! tests/kafka/pom.xml -nt "$libs/.complete" ] && return
    command -v mvn >/dev/null || fail "Maven is not here; run: apt-get install maven"
    rm -rf "$libs"
    mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" ||
        fail "Maven could not fetch Apache Kafka"
    touch "$libs/.complete"
}

java_command=(java -Xms256m -Xmx768m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*")

running() {
    [ -f "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null
}

configure() { # port
    mkdir -p "$state"
    cat >"$state/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(($1 + 1))
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$(($1 + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$1
controller.listener.names=CONTROLLER
log.dirs=$state/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Deleting records early shows what a collector does with offsets that are gone.
log.retention.check.interval.ms=1000
EOF
}

start() { # port
    running && fail "already runs with process id $(cat "$state/pid"); stop it first"
    command -v java >/dev/null || fail "Java is not here; run: apt-get install default-jre-headless"
    fetch
    rm -rf "$state"
    configure "$1"
    local id
    id=$("${java_command[@]}" kafka.tools.StorageTool random-uuid 2>>"$state/log")
    "${java_command[@]}" kafka.tools.StorageTool format -t "$id" -c "$state/server.properties" >>"$state/log" 2>&1
    setsid "${java_command[@]}" kafka.Kafka "$state/server.properties" </dev/null >>"$state/log" 2>&1 &
    echo $! >"$state/pid"
    for _ in $(seq 120); do
        running || break
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            echo "Apache Kafka listens; export DRIFTLINE_TEST_KAFKA=127.0.0.1:$1"
            return
        fi
        sleep 0.5
    done
    tail -n 20 "$state/log" >&2
    stop
    fail "did not come up"
}

stop() {
    if running; then
        local pid
        pid=$(cat "$state/pid")
        kill "$pid"
        for _ in $(seq 40); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.25
        done
        kill -9 "$pid" 2>/dev/null || true
    fi
    rm -rf "$state"
}

case "${1:-}" in
    fetch) fetch ;;
    start) start "${2:-9092}" ;;
    stop) stop ;;
    *) fail "say: start [PORT], stop or fetch" ;;
esac
