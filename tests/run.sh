#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds Ember twice (release, and with ASan and UBSan), holds the sources against
# clang-format and clang-tidy, and runs every test of both builds.
#
# Usage: tests/run.sh [--quick] [--label LABEL]
#   --quick        the release build only, and no clang-tidy
#   --label LABEL  only the tests with that label: unit, kvm, linux, fuzz
#
# The last line is the sum of both builds, "N passed, N failed", and what failed is named right before it; the exit status
# is 0 only if nothing failed.
# Tests of real virtual machines need /dev/kvm; EMBER_NO_KVM=1 leaves them out, and says which.

set -euo pipefail

cd "$(dirname "$0")/.."

folders=(kvm devices snapshot sandbox proto pool server bench tests)
builds=(release asan)
label=
tidy=true
passed=0
failed=0
failures=() # names

fail()
{
	echo "tests/run.sh: $*" >&2
	exit 1
}

usage()
{
	sed -n 's/^# \{0,1\}//; 7,9p' "$0"
}

parse_arguments()
{
	while (($# > 0)); do
		case $1 in
		--quick)
			builds=(release)
			tidy=false
			;;
		--label)
			(($# > 1)) || fail "--label needs one of unit, kvm, linux, fuzz"
			label=$2
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

	[[ ${EMBER_NO_KVM:-} != 1 ]] || return 0
	why=$(.cmake/why_no_kvm.sh) || fail "$why, or set EMBER_NO_KVM=1 to leave out the tests that need it"
}

headline()
{
	printf '\n== %s\n' "$*"
}

count_failure()
{
	failures+=("$1")
	failed=$((failed + 1))
}

# check NAME COMMAND ARGUMENT...: a check outside ctest counts as one test.
check()
{
	local name=$1
	shift

	headline "$name"
	if "$@"; then
		passed=$((passed + 1))
	else
		count_failure "$name"
	fi
}

check_format()
{
	find "${folders[@]}" -name '*.[ch]' -print0 |
		xargs --null --no-run-if-empty clang-format --dry-run --Werror
}

# clang-tidy reads how each file is compiled from the release build; the tests' macros are not its business.
check_tidy()
{
	sed -n "s|^ *\"file\": \"$PWD/\(.*\.c\)\",*$|\1|p" build/compile_commands.json | grep -v '^tests/' |
		sort --unique |
		xargs --no-run-if-empty --max-procs="$(nproc)" --max-args=1 clang-tidy -p build --quiet 2>&1 |
		sed '/^[0-9]* warnings\{0,1\} generated\.$/d'
}

build()
{
	cmake --preset "$1" && cmake --build --preset "$1"
}

name_skipped_tests()
{
	headline "left out of $1: no KVM (EMBER_NO_KVM=1)"
	ctest --preset "$1" --show-only --label-regex '^kvm$' | sed -n 's/^ *Test *#[0-9]*: /  /p'
}

# Runs the tests of one build, and adds ctest's own count of them to the sums.
run_tests()
{
	local preset=$1 log status=0 counts name
	local options=()

	[[ -z $label ]] || options+=(--label-regex "^$label\$")
	if [[ ${EMBER_NO_KVM:-} == 1 ]]; then
		name_skipped_tests "$preset"
		options+=(--label-exclude '^kvm$')
	fi

	headline "tests of $preset"
	log=$(mktemp)
	ctest --preset "$preset" --no-tests=ignore "${options[@]}" 2>&1 | tee "$log" || status=$?
	while read -r name; do
		failures+=("$name of $preset")
	done < <(sed -n '/^The following tests FAILED:$/,$ s/^[[:space:]]*[0-9]* - \(.*\)$/\1/p' "$log")
	counts=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
	rm -f "$log"
	if [[ -z $counts ]]; then
		((status == 0)) || count_failure "ctest of $preset"
		return
	fi
	failed=$((failed + ${counts% *}))
	passed=$((passed + ${counts#* } - ${counts% *}))
}

parse_arguments "$@"
require_kvm
.cmake/install_dependencies.sh build tests linux

check "clang-format" check_format
for preset in "${builds[@]}"; do
	headline "build of $preset"
	build "$preset" || fail "the $preset build failed"
done
if $tidy; then
	check "clang-tidy" check_tidy
fi
for preset in "${builds[@]}"; do
	run_tests "$preset"
done

if ((failed > 0)); then
	headline "failed"
	printf '  %s\n' "${failures[@]}"
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
