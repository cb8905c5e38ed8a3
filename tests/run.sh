#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds Ember twice (release, and with ASan and UBSan), holds the sources against
# clang-format and clang-tidy, and runs every test of both builds.
#
# Usage: tests/run.sh [--quick] [--label LABEL]
#   --quick        the release build only, and no clang-tidy
#   --label LABEL  only the tests with that label: unit, kvm (daemon among them), daemon, linux, fuzz
#
# The tests of both builds run beside each other: as many as there are processors, and fewer emulated machines where
# there is no memory for them. EMBER_TEST_JOBS=N runs N.
#
# The last line is the sum of both builds, "N passed, N failed", and what failed is named right before it; the exit status
# is 0 only if nothing failed.
# Tests of real virtual machines need /dev/kvm; EMBER_NO_KVM=1 leaves them out, and says which.

set -euo pipefail

cd "$(dirname "$0")/.."

joined=$PWD/build/all-tests
folders=(kvm devices snapshot sandbox proto pool server bench tests)
builds=(release asan)
labels=(unit kvm daemon linux fuzz)
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
			[[ $# -gt 1 && " ${labels[*]} " == *" $2 "* ]] || fail "--label needs one of ${labels[*]}"
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
	headline "left out: no KVM (EMBER_NO_KVM=1)"
	ctest --preset "${builds[0]}" --show-only --label-regex '^kvm$' | sed -n 's/^ *Test *#[0-9]*: /  /p'
}

# A folder of ctest's that has the tests of all builds, in their order.
join_tests()
{
	local preset

	mkdir -p "$joined"
	for preset in "${builds[@]}"; do
		printf 'subdirs("%s")\n' "$PWD/$(folder_of "$preset")"
	done >"$joined/CTestTestfile.cmake"
}

folder_of()
{
	case $1 in
	release) echo build ;;
	*) echo "build-$1" ;;
	esac
}

# What ctest may give to tests that ask for memory, in GiB: what is available but for two, and at least one machine's.
write_resources()
{
	local available

	available=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo) / 1048576 - 2))
	((available >= 3)) || available=3
	cat >"$joined/resources.json" <<-END
		{"version": {"major": 1, "minor": 0}, "local": [{"memory": [{"id": "gib", "slots": $available}]}]}
	END
}

# name_of_test NUMBER NAME: with the build that it is of. ctest numbers them one build after the other.
name_of_test()
{
	local number=$1 preset count

	for preset in "${builds[@]}"; do
		count=$(ctest --preset "$preset" --show-only | sed -n 's/^Total Tests: //p')
		if ((number <= count)); then
			echo "$2 of $preset"
			return
		fi
		number=$((number - count))
	done
}

# Runs the tests of all builds, and adds ctest's own count of them to the sums.
run_tests()
{
	local log status=0 counts number name
	local options=(--output-on-failure --no-tests=ignore --parallel "${EMBER_TEST_JOBS:-$(nproc)}")

	[[ -z $label ]] || options+=(--label-regex "^$label\$")
	if [[ ${EMBER_NO_KVM:-} == 1 ]]; then
		name_skipped_tests
		options+=(--label-exclude '^kvm$')
	fi

	join_tests
	write_resources
	headline "tests of ${builds[*]}"
	log=$joined/tests.log
	ctest --test-dir "$joined" --resource-spec-file "$joined/resources.json" "${options[@]}" 2>&1 | tee "$log" ||
		status=$?
	while read -r number name; do
		failures+=("$(name_of_test "$number" "$name")")
	done < <(sed -n '/^The following tests FAILED:$/,$ s/^[[:space:]]*\([0-9]*\) - \(.*\)$/\1 \2/p' "$log")
	counts=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
	if [[ -z $counts ]]; then
		((status == 0)) || count_failure "ctest"
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
run_tests

if ((failed > 0)); then
	headline "failed"
	printf '  %s\n' "${failures[@]}"
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
