#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds the fuzzers with libFuzzer, ASan and UBSan, and runs each for a time, from its corpus on.
#
# Usage: tests/fuzz/run.sh [--seconds N] [NAME...]
#   --seconds N  for each fuzzer; 60 where it is not said
#   NAME         only these: virtqueue, acpi, ...
#
# Inputs that reach new code are kept in build-fuzz/inputs/NAME, and are where the next run goes on; what breaks a
# property, in build-fuzz/found. The last line is the sum, "N passed, N failed"; the exit status is 0 only if nothing failed.

set -euo pipefail

cd "$(dirname "$0")/../.."

seconds=60
names=()
passed=0
failed=0

usage()
{
	sed -n 's/^# \{0,1\}//; 6,8p' "$0"
}

parse_arguments()
{
	while (($# > 0)); do
		case $1 in
		--seconds)
			[[ ${2:-} =~ ^[1-9][0-9]*$ ]] || {
				echo "tests/fuzz/run.sh: --seconds needs a number" >&2
				exit 2
			}
			seconds=$2
			shift
			;;
		--help)
			usage
			exit 0
			;;
		-*)
			usage >&2
			exit 2
			;;
		*)
			[[ -f tests/fuzz/fuzz_$1.c ]] || {
				echo "tests/fuzz/run.sh: there is no fuzzer named $1" >&2
				exit 2
			}
			names+=("$1")
			;;
		esac
		shift
	done
}

name_all()
{
	local source

	for source in tests/fuzz/fuzz_*.c; do
		source=${source##*/fuzz_}
		names+=("${source%.c}")
	done
}

fuzz()
{
	local name=$1 log="build-fuzz/found/$1.log"

	printf '\n== %s, %d s\n' "$name" "$seconds"
	mkdir -p "build-fuzz/inputs/$name" build-fuzz/found
	if "build-fuzz/tests/fuzz_$name" -max_total_time="$seconds" -print_final_stats=1 \
		-artifact_prefix="build-fuzz/found/$name-" "build-fuzz/inputs/$name" "tests/fuzz/corpus/$name" &>"$log"; then
		grep -E '^(Done|stat::new_units_added)' "$log"
		passed=$((passed + 1))
	else
		tail -n 60 "$log"
		echo "the rest is in $log"
		failed=$((failed + 1))
	fi
}

parse_arguments "$@"
((${#names[@]} > 0)) || name_all
.cmake/install_dependencies.sh build tests fuzz
cmake --preset fuzz
cmake --build --preset fuzz
for name in "${names[@]}"; do
	fuzz "$name"
done

printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
