#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the Linux tests: a stock Debian kernel on a KVM that behaves like hardware's, which is nested SVM in a machine
# that QEMU emulates.
#
# Usage: tests/linux/run.sh [--build-dir DIR] [--name NAME] [--cpus N] [CASE...]
#   --build-dir DIR  take the programs from there; without it, install what is missing, build a release, and take that
#   --name NAME      of this run, so that several can go on at once; what it makes is in DIR/linux/NAME
#   --cpus N         of the outer machine. With more than one, what the emulator has translated can be older than what
#                    the kernel has patched (its static keys), and the machine then hangs: rarely, but it does
#   CASE             only these cases: names as in outer/cases, or patterns (boot_*)
#
# The kernel comes from the Debian package that linux-image-cloud-amd64 depends on; it is downloaded once to DIR/linux,
# and not installed. The outer machine's console is shown as it comes. Exit status 0: every case passed.

set -euo pipefail

source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build_dir=
name=all
cpus=1
cases=()

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

parse_arguments()
{
	while (($# > 0)); do
		case $1 in
		--build-dir | --name | --cpus)
			(($# > 1)) || fail "$1 needs a value"
			case $1 in
			--build-dir) build_dir=$2 ;;
			--name) name=$2 ;;
			--cpus) cpus=$2 ;;
			esac
			shift
			;;
		--help)
			sed -n 's/^# \{0,1\}//; 4,17p' "$0"
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

# The kernel's package, unpacked once: sets kernel_dir and kernel_release. One run at a time does this.
fetch_kernel()
{
	local package

	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1)
	if [[ -z $package ]]; then
		# No lists of packages yet.
		sudo_if_needed apt-get --quiet --quiet update
		package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
	fi
	kernel_release=${package#linux-image-}
	kernel_dir=$cache/$package
	[[ ! -e $kernel_dir/.complete ]] || return 0

	echo "Downloading $package" >&2
	rm -rf "$kernel_dir" "$cache/download"
	mkdir -p "$kernel_dir" "$cache/download"
	(cd "$cache/download" && { download "$package" ||
		{ sudo_if_needed apt-get --quiet --quiet update && download "$package"; }; }) ||
		fail "$package could not be downloaded"
	dpkg -x "$cache"/download/*.deb "$kernel_dir"
	rm -rf "$cache/download"
	touch "$kernel_dir/.complete"
}

# Into the current folder, as whoever we are: the user that apt would rather be may have no access to it.
download()
{
	apt-get --quiet --quiet --option APT::Sandbox::User=root download "$1"
}

sudo_if_needed()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo --non-interactive "$@"
	fi
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

add_modules()
{
	local folder=$1 module

	shift
	for module in "$@"; do
		install -D --mode=0644 "$kernel_dir/lib/modules/$kernel_release/kernel/$module.ko" \
			"$folder/modules/${module##*/}.ko"
	done
}

build_guest()
{
	local folder=$work/guest

	rm -rf "$folder"
	mkdir -p "$folder"/{proc,sys,dev}
	install "$build_dir/tests/linux_guest_init" "$folder/init"
	add_modules "$folder" "${guest_modules[@]}"
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
	install "$kernel_dir/boot/vmlinuz-$kernel_release" "$folder/ember/vmlinuz"
	add_modules "$folder" "${outer_modules[@]}"
	for program in "${programs[@]}"; do
		add_program "$build_dir/$program" "$folder"
	done
	pack "$folder" "$work/outer.cpio"
}

# The outer machine. Its last words are the sum; an end without them is a failure.
run_outer()
{
	local status=0

	trap end_machine EXIT
	run_machine "$log" "$kernel_dir/boot/vmlinuz-$kernel_release" "$work/outer.cpio" \
		"console=ttyS0 quiet reboot=k panic=-1 ember.cases=$(IFS=, && echo "${cases[*]}")" "$cpus" || status=$?
	((status != 124)) || fail "the machine was stuck or too slow; its console is in $log"
	((status == 0)) || fail "QEMU ended with status $status; the machine's console is in $log"
	grep --quiet '^ember-linux: [1-9][0-9]* passed, 0 failed' "$log" ||
		fail "not every case passed; the machine's console is in $log"
}

parse_arguments "$@"
[[ -n $build_dir ]] || build_release
build_dir=$(cd "$build_dir" && pwd)
cache=$build_dir/linux
work=$cache/$name
log=$work/console.log
mkdir -p "$work"
for program in qemu-system-x86_64 busybox cpio; do
	command -v "$program" >/dev/null ||
		fail "there is no $program: .cmake/install_dependencies.sh linux installs it"
done

exec {lock}>"$cache/.lock"
flock "$lock"
fetch_kernel
exec {lock}>&-
build_guest
build_disk
build_outer
run_outer
