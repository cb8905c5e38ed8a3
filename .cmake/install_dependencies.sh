#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what Ember needs from Debian, and nothing when all of it is there.
#
# Usage: .cmake/install_dependencies.sh build [tests] [linux] [fuzz]
#
# The lists below are the only place that names packages. apt-get runs only when dpkg does not know one of them as
# installed, through sudo where we are not root; its output is kept aside and shown if it fails.

set -euo pipefail

declare -A packages=(
	[build]="gcc libc6-dev cmake ninja-build pkg-config libevent-dev libhttp-parser-dev libjansson-dev \
libseccomp-dev libcap-ng-dev zlib1g-dev liblzma-dev libzstd-dev liblz4-dev nettle-dev"
	[tests]="libcriterion-dev clang-format clang-tidy socat acpica-tools curl"
	[linux]="qemu-system-x86 busybox-static cpio e2fsprogs xz-utils"
	[fuzz]="clang libclang-rt-14-dev"
)

fail()
{
	echo "install_dependencies.sh: $*" >&2
	exit 1
}

is_installed()
{
	[[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# as_root COMMAND ARGUMENT...: sudo asks for a password only where somebody can type it.
as_root()
{
	if ((EUID == 0)); then
		"$@"
	elif [[ -t 0 ]]; then
		sudo "$@"
	else
		sudo --non-interactive "$@"
	fi
}

apt_get()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=300 "$@"
}

(($# > 0)) || fail "usage: install_dependencies.sh build [tests] [linux] [fuzz]"
wanted=()
for purpose in "$@"; do
	[[ -v packages[$purpose] ]] || fail "there is no list of packages named '$purpose' (build, tests, linux, fuzz)"
	read -ra list <<<"${packages[$purpose]}"
	wanted+=("${list[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	fail "this is not a Debian system; install the equivalents of: ${wanted[*]}"
fi

missing=()
for package in "${wanted[@]}"; do
	is_installed "$package" || missing+=("$package")
done
((${#missing[@]} > 0)) || exit 0

if ((EUID != 0)) && ! command -v sudo >/dev/null; then
	fail "run as root, or install sudo, so that these packages can be installed: ${missing[*]}"
fi

echo "Installing from Debian: ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt_get update && apt_get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	cat "$log" >&2
	fail "apt-get could not install: ${missing[*]} (its output is above)"
fi
