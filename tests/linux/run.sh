#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the Linux tests: a stock Debian kernel on a KVM that behaves like hardware's, which is nested SVM in a machine
# that QEMU emulates.
#
# Usage: tests/linux/run.sh [--build-dir DIR] [--name NAME] [--cpus N] [--outer VERSION] [--guest VERSION]
#                           [--all-kernels] [CASE...]
#   --build-dir DIR  take the programs from there; without it, install what is missing, build a release, and take that
#   --name NAME      of this run, so that several can go on at once; what it makes is in DIR/linux/NAME
#   --cpus N         of the outer machine. With more than one, what the emulator has translated can be older than what
#                    the kernel has patched (its static keys), and the machine then hangs: rarely, but it does
#   --outer VERSION  of the outer machine's kernel, whose KVM is used: 6.1 (where it is not said) or 6.12
#   --guest VERSION  of the guests' kernel, likewise
#   --all-kernels    a run for each pair of these kernels
#   CASE             only these cases: names as in outer/cases, or patterns (boot_*)
#
# The kernels come from Debian's packages; they are downloaded once to DIR/linux, and not installed. The outer machine's
# console is shown as it comes. Exit status 0: every case passed.

set -euo pipefail
shopt -s inherit_errexit

source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build_dir=
name=all
cpus=1
versions=(6.1 6.12)
outer=6.1
guest=6.1
all_kernels=false
cases=()

# shellcheck source=tests/linux/kernel.sh
. "$source_dir/tests/linux/kernel.sh"
# shellcheck source=tests/linux/machine.sh
. "$source_dir/tests/linux/machine.sh"

outer_modules=(virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd drivers/net/tun)
guest_modules=(drivers/misc/pvpanic/pvpanic drivers/misc/pvpanic/pvpanic-mmio drivers/acpi/button drivers/input/evdev
	drivers/firmware/qemu_fw_cfg drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_mmio
	drivers/virtio/virtio_balloon drivers/block/virtio_blk drivers/char/hw_random/virtio-rng net/core/failover
	drivers/net/net_failover drivers/net/virtio_net net/vmw_vsock/vsock
	net/vmw_vsock/vmw_vsock_virtio_transport_common net/vmw_vsock/vmw_vsock_virtio_transport)

# Of the build: what the outer machine is there for.
programs=(bin/emberd bin/emberctl bin/ember-bench tests/linux_check)

fail()
{
	echo "tests/linux/run.sh: $*" >&2
	exit 1
}

is_version()
{
	[[ " ${versions[*]} " == *" $1 "* ]] || fail "the kernels are ${versions[*]}; there is no $1"
}

parse_arguments()
{
	while (($# > 0)); do
		case $1 in
		--build-dir | --name | --cpus | --outer | --guest)
			(($# > 1)) || fail "$1 needs a value"
			case $1 in
			--build-dir) build_dir=$2 ;;
			--name) name=$2 ;;
			--cpus) cpus=$2 ;;
			--outer) is_version "$2" && outer=$2 ;;
			--guest) is_version "$2" && guest=$2 ;;
			esac
			shift
			;;
		--all-kernels)
			all_kernels=true
			;;
		--help)
			sed -n 's/^# \{0,1\}//; 4,19p' "$0"
			exit 0
			;;
		-*)
			fail "there is no option $1 (see --help)"
			;;
		*)
			cases+=("$1")
			;;
		esac
		shift
	done
}

build_release()
{
	cd "$source_dir"
	.cmake/install_dependencies.sh build tests linux
	cmake --preset release >/dev/null
	cmake --build --preset release --target linux_guest_init "${programs[@]##*/}"
	build_dir=$source_dir/build
}

# pack FOLDER FILE: an initramfs of everything in the folder.
pack()
{
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort --zero-terminated |
		cpio --null --create --format=newc --owner=+0:+0 --quiet) >"$2"
}

# add_program PROGRAM FOLDER: a program and the shared libraries that it loads.
add_program()
{
	local library

	install -D --target-directory="$2/ember" "$1"
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		[[ -e $2$library ]] || install -D "$library" "$2$library"
	done
}

build_guest()
{
	local folder=$work/guest

	rm -rf "$folder"
	mkdir -p "$folder"/{proc,sys,dev}
	install "$build_dir/tests/linux_guest_init" "$folder/init"
	add_modules "$guest_release" "$folder" "${guest_modules[@]}"
	pack "$folder" "$work/guest.cpio"
}

# An ext4 file system with a file to copy, of random bytes so that no two blocks are alike.
build_disk()
{
	local folder=$work/disk

	rm -rf "$folder" "$work/disk.img"
	mkdir -p "$folder"
	head --bytes=6M /dev/urandom >"$folder/source"
	/sbin/mkfs.ext4 -q -d "$folder" "$work/disk.img" 24M >/dev/null
}

build_outer()
{
	local folder=$work/outer program

	rm -rf "$folder"
	mkdir -p "$folder"/{bin,dev,proc,sys,tmp,ember}
	install "$(command -v busybox)" "$folder/bin/busybox"
	install "$source_dir/tests/linux/outer/init.sh" "$folder/init"
	install --target-directory="$folder/ember" "$source_dir/tests/linux/outer/run_cases.sh" \
		"$source_dir/tests/linux/outer/daemon.sh" "$work/guest.cpio" "$work/disk.img"
	install --target-directory="$folder/ember/cases" -D "$source_dir"/tests/linux/outer/cases/*.sh
	install "$(kernel_image "$guest_release")" "$folder/ember/vmlinuz"
	add_modules "$outer_release" "$folder" "${outer_modules[@]}"
	for program in "${programs[@]}"; do
		add_program "$build_dir/$program" "$folder"
	done
	pack "$folder" "$work/outer.cpio"
}

# The outer machine. Its last words are the sum; an end without them is a failure.
run_outer()
{
	local log=$work/console.log status=0

	run_machine "$log" "$(kernel_image "$outer_release")" "$work/outer.cpio" \
		"console=ttyS0 quiet reboot=k panic=-1 ember.cases=$(IFS=, && echo "${cases[*]}")" "$cpus" || status=$?
	((status != 124)) || fail "the machine was stuck or too slow; its console is in $log"
	((status == 0)) || fail "QEMU ended with status $status; the machine's console is in $log"
	grep --quiet '^ember-linux: [1-9][0-9]* passed, 0 failed' "$log" ||
		fail "not every case passed; the machine's console is in $log"
}

# run OUTER GUEST: the cases with these kernels.
run()
{
	work=$cache/$name
	mkdir -p "$work"
	outer_release=$(fetch_kernel "$1")
	guest_release=$(fetch_kernel "$2")
	echo "outer $outer_release, guest $guest_release"
	build_guest
	build_disk
	build_outer
	run_outer
}

# Each pair, and which of them failed.
run_all_kernels()
{
	local failures=()

	for outer in "${versions[@]}"; do
		for guest in "${versions[@]}"; do
			"$0" --build-dir "$build_dir" --name "$name-$outer-$guest" --cpus "$cpus" --outer "$outer" \
				--guest "$guest" "${cases[@]}" || failures+=("outer $outer with guest $guest")
		done
	done
	((${#failures[@]} == 0)) || fail "not every case passed of $(IFS=, && echo "${failures[*]}")"
}

parse_arguments "$@"
[[ -n $build_dir ]] || build_release
build_dir=$(cd "$build_dir" && pwd)
cache=$build_dir/linux
mkdir -p "$cache"
for program in qemu-system-x86_64 busybox cpio xz; do
	command -v "$program" >/dev/null ||
		fail "there is no $program: .cmake/install_dependencies.sh linux installs it"
done
trap end_machine EXIT
if $all_kernels; then
	run_all_kernels
else
	run "$outer" "$guest"
fi
