#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The cases that run in the outer machine. Each is a function case_NAME in cases/*.sh that returns 0 if it passed; the
# last line says how many did. With arguments, only those run whose names match one of them, as shells match (boot_*).
#
# A case leaves what it has seen in $out, which is shown if it fails, and after it what the daemon has logged meanwhile.

out=/tmp/out

. ./daemon.sh
for file in cases/*.sh; do
	. "./$file"
done

# expect PATTERN...: every extended regular expression matches a line of $out.
expect()
{
	local pattern

	for pattern in "$@"; do
		if ! grep -qE "$pattern" $out; then
			echo "expected but not there: $pattern"
			return 1
		fi
	done
}

# No complaint of the guest's kernel.
expect_quiet()
{
	if grep -E 'WARNING:|BUG:|Oops|Call Trace|ACPI (BIOS )?(Error|Warning)|soft lockup|rcu.*stall' $out; then
		echo "the guest's kernel complains"
		return 1
	fi
}

# Is a case wanted?
is_wanted()
{
	local name=$1 pattern

	shift
	[ $# -gt 0 ] || return 0
	for pattern in "$@"; do
		case $name in
		$pattern)
			return 0
			;;
		esac
	done
	return 1
}

seconds()
{
	cut -d . -f 1 /proc/uptime
}

# Run a case; count and say how it went.
run_case()
{
	local start log_lines result

	start=$(seconds)
	: >$out
	log_lines=$(wc -l <$daemon_log)
	echo "case $1"
	if "case_$1"; then
		passed=$((passed + 1))
		result=passed
	else
		failed=$((failed + 1))
		result=FAILED
		sed 's/^/    | /' $out
		tail -n "+$((log_lines + 1))" $daemon_log | sed 's/^/    emberd | /'
	fi
	echo "case $1: $result, $(($(seconds) - start)) s"
}

# The daemon's end is a case, too: the last one.
case_daemon_stops() { stop_daemon; }

set -f
passed=0
failed=0
start_daemon
for name in $(sed -n 's/^case_\([a-z0-9_]*\)().*/\1/p' $(set +f && echo cases/*.sh)); do
	! is_wanted "$name" "$@" || run_case "$name"
done
run_case daemon_stops
echo "ember-linux: $passed passed, $failed failed"
