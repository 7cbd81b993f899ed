#!/bin/bash
# Runs a private PostgreSQL for the tests on this machine: postgres.sh start [PORT] | stop.
# A cluster of its own in a temporary folder, on the loopback only; any other server is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
note=$PWD/.tools/postgres.folder # holds the path of the cluster that runs

fail() {
    echo "postgres.sh: $*" >&2
    exit 1
}

# PostgreSQL refuses to run as root.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# Debian keeps initdb and pg_ctl off PATH.
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb || echo /none/initdb)")

running() {
    [ -f "$note" ] && as_owner "$bin/pg_ctl" -D "$(cat "$note")/data" status >/dev/null 2>&1
}

start() { # port
    [ -x "$bin/initdb" ] || fail "PostgreSQL is not here; run: apt-get install postgresql"
    running && fail "already runs in $(cat "$note"); stop it first"
    stop # what a killed run left
    mkdir -p .tools
    local folder
    folder=$(as_owner mktemp -d -t driftline-postgres.XXXXXX)
    echo "$folder" >"$note"
    as_owner "$bin/initdb" -D "$folder/data" -U driftline --auth=trust --encoding=UTF8 --locale=C >/dev/null
    if ! as_owner "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 -s start \
        -o "-p $1 -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder -c fsync=off -c max_connections=200"; then
        tail -n 20 "$folder/log" >&2 || true
        stop
        fail "did not come up"
    fi
    echo "PostgreSQL listens; export DRIFTLINE_TEST_POSTGRES=postgresql+psycopg://driftline@127.0.0.1:$1/postgres"
}

stop() {
    [ -f "$note" ] || return 0
    local folder
    folder=$(cat "$note")
    as_owner "$bin/pg_ctl" -D "$folder/data" -m immediate -s stop 2>/dev/null || true
    case "$folder" in
        */driftline-postgres.*) rm -rf "$folder" ;;
        *) fail "'$folder' is not a folder of mine" ;;
    esac
    rm -f "$note"
}

case "${1:-}" in
    start) start "${2:-5433}" ;;
    stop) stop ;;
    *) fail "say: start [PORT] or stop" ;;
esac
