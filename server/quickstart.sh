#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows on this machine what Ember does: builds it, starts a daemon of its own in a temporary folder, boots the demo
# guest once, snapshots it, and measures cold boots, cold restores and warm restores of it side by side.
#
# Usage: server/quickstart.sh [--serve] [--json FILE] [--count N]
#   --serve      leave the daemon running in the foreground afterwards; Ctrl-C stops it
#   --json FILE  write the figures, too
#   --count N    requests of each kind (50)

set -euo pipefail

serve=false
json_file=
count=50
daemon=
state=

fail()
{
	echo "quickstart.sh: $*" >&2
	exit 1
}

usage()
{
	sed -n 's/^# \{0,1\}//; 7,10p' "$0"
}

say()
{
	printf '%s\n' "$*"
}

parse_arguments()
{
	while (($# > 0)); do
		case $1 in
		--serve)
			serve=true
			;;
		--json | --count)
			(($# > 1)) || fail "$1 needs a value after it"
			if [[ $1 == --json ]]; then
				json_file=$(realpath --no-symlinks -- "$2")
			else
				[[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || fail "--count takes a number from 1 to 999999, not '$2'"
				count=$2
			fi
			shift
			;;
		--help)
			usage
			exit 0
			;;
		*)
			usage >&2
			exit 2
			;;
		esac
		shift
	done
}

require_kvm()
{
	local why

	why=$(.cmake/why_no_kvm.sh) || fail "$why"
}

# Tests are left out where Ember has not been configured before: they need more packages.
build()
{
	local log=$state/build.log

	if [[ ! -e build/build.ninja ]]; then
		cmake --preset release -DBUILD_TESTING=OFF
	fi >"$log" 2>&1 || fail_with "$log" "configuring the build failed"
	cmake --build build --target emberd emberctl ember-bench >>"$log" 2>&1 || fail_with "$log" "the build failed"
}

# fail_with LOG SENTENCE
fail_with()
{
	tail -n 30 "$1" >&2
	fail "$2 (its last lines are above)"
}

emberctl()
{
	build/bin/emberctl --socket "$socket" "$@"
}

# A path that can be told beforehand while serving, if it fits a socket's address (108 bytes).
choose_socket()
{
	socket=$state/ember.sock
	if $serve && ((${#PWD} < 90)); then
		socket=$PWD/build/ember.sock
		[[ ! -e $socket ]] || ! emberctl server ping >/dev/null 2>&1 ||
			fail "a daemon answers on $socket already: stop it first"
	fi
}

start_daemon()
{
	local log=$state/emberd.log

	# VMs that are left when the daemon is stopped are not worth waiting for.
	echo '{"drain_timeout_ms": 500}' >"$state/emberd.json"
	setsid build/bin/emberd --config "$state/emberd.json" --socket "$socket" --http-socket "$state/http.sock" \
		--state-dir "$state/snapshots" >"$log" 2>&1 </dev/null &
	daemon=$!
	for ((tries = 0; tries < 100; tries++)); do
		if emberctl server ping >/dev/null 2>&1; then
			return
		fi
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	fail_with "$log" "emberd did not start"
}

stop_daemon()
{
	kill -TERM "$daemon" 2>/dev/null || return 0
	for ((tries = 0; tries < 100; tries++)); do
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
}

clean_up()
{
	trap '' INT TERM HUP
	[[ -z $daemon ]] || stop_daemon
	[[ -z $state ]] || rm -rf "$state"
}

make_snapshot()
{
	local vm

	vm=$(emberctl vm boot | awk '$1 == "vm" { print $2; exit }')
	emberctl vm wait "$vm" ready --deadline-ms 60000 >/dev/null
	emberctl vm snapshot "$vm" demo >/dev/null
	emberctl vm release "$vm" >/dev/null
}

measure()
{
	local options=(--count "$count")

	[[ -z $json_file ]] || options+=(--json "$json_file")
	build/bin/ember-bench --socket "$socket" compare --snapshot demo "${options[@]}"
}

# suggest SOCKET: three lines to try next.
suggest()
{
	local command="build/bin/emberctl --socket $1"

	say "  $command vm restore demo"
	say "  $command vm list"
	say "  $command pool status"
}

parse_arguments "$@"
cd "$(dirname "$0")/.."
require_kvm
.cmake/install_dependencies.sh build

state=$(mktemp --directory --tmpdir ember-quickstart.XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "Building Ember; the first time takes a minute."
build
choose_socket
start_daemon
say "Booting the demo guest once, and keeping a snapshot of it."
make_snapshot
say "Measuring $count cold boots, cold restores and warm restores, in turn."
say ""
measure
say ""
if ! $serve; then
	say "Next, run \"server/quickstart.sh --serve\", which leaves the daemon running, and try in another terminal:"
	suggest build/ember.sock
	exit 0
fi

say "The daemon runs until Ctrl-C; its log is $state/emberd.log. Try in another terminal:"
suggest "${socket#"$PWD/"}"
wait "$daemon" || fail_with "$state/emberd.log" "emberd ended by itself"
daemon=
