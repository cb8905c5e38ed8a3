# SPDX-License-Identifier: Apache-2.0
#
# Machines of the devices library, by linux_vm: without a daemon.

virtio=virtio_ring,virtio,virtio_mmio

# library_boot ENTRY VCPUS END ARGUMENT...: boot a guest; its console and how it ended are left in $out. Arguments with two dashes
# are linux_vm's, and a value is one word with them (--disk=FILE); others go to the kernel's command line.
library_boot()
{
	local entry=$1 vcpus=$2 options='' argument cmdline

	cmdline="console=ttyS0 loglevel=5 panic=-1 ember.end=$3"
	shift 3
	for argument in "$@"; do
		case $argument in
		--*)
			options="$options $argument"
			;;
		*)
			cmdline="$cmdline $argument"
			;;
		esac
	done
	./linux_vm --kernel vmlinuz --initrd guest.cpio --entry "$entry" --vcpus "$vcpus" --memory 128 --timeout 120 \
		$options --cmdline "$cmdline" >$out 2>&1
}

# library_boots ENTRY VCPUS ARGUMENT...: to user space with all CPUs, and off again.
library_boots()
{
	local entry=$1 vcpus=$2

	shift 2
	library_boot "$entry" "$vcpus" poweroff "$@" &&
		expect "guest: ready .*cpus=$vcpus pid=1" 'linux_vm: power_off after' && expect_quiet
}

case_library_boot_bzimage_1() { library_boots bzimage 1; }
case_library_boot_bzimage_4() { library_boots bzimage 4; }
case_library_boot_pvh_1() { library_boots pvh 1; }
case_library_boot_pvh_4() { library_boots pvh 4; }
case_library_boot_elf64_1() { library_boots elf64 1; }
case_library_boot_elf64_8() { library_boots elf64 8; }
case_library_boot_large() { library_boots pvh 2 --memory=3072; }

# The kernel's own choice.
case_library_end_reset()
{
	library_boot bzimage 1 reboot && expect 'guest: ready' 'linux_vm: reset after'
}

case_library_end_reset_acpi()
{
	library_boot bzimage 1 reboot reboot=a && expect 'guest: ready' 'linux_vm: reset after'
}

case_library_end_reset_keyboard()
{
	library_boot bzimage 1 reboot reboot=k && expect 'guest: ready' 'linux_vm: reset after'
}

case_library_end_triple_fault()
{
	library_boot bzimage 1 reboot reboot=t && expect 'guest: ready' 'linux_vm: shutdown after'
}

case_library_end_panic()
{
	library_boot bzimage 1 panic ember.modules=pvpanic,pvpanic-mmio &&
		expect 'guest: ready' 'Attempted to kill init' 'linux_vm: panic after'
}

case_library_event_power_button()
{
	library_boot bzimage 1 poweroff ember.modules=button,evdev ember.do=button &&
		expect 'guest: power button pressed' 'linux_vm: power_off after' && expect_quiet
}

case_library_event_generation_id()
{
	library_boot pvh 1 poweroff ember.do=generation &&
		expect 'guest: generation id [0-9a-f]{32} to [0-9a-f]{32}, 1 events' 'linux_vm: power_off after' &&
		expect_quiet && ! grep -qE 'generation id (0{32}|([0-9a-f]{32}) to (0{32}|\2))' $out
}

case_library_virtio_rng()
{
	library_boot bzimage 1 poweroff --rng ember.modules=$virtio,virtio-rng ember.do=entropy &&
		expect 'guest: entropy [0-9a-f]{16} [0-9a-f]{16}' && expect_quiet &&
		! grep -qE 'guest: entropy ([0-9a-f]{16}) \1' $out
}

# library_snapshots VCPUS RESULT ARGUMENT...: the line of a job's result is the same in the guest that was snapshotted in the middle
# of it, and in two clones.
library_snapshots()
{
	local vcpus=$1 result="guest: $2" line clone devices

	shift 2
	rm -rf /tmp/case
	mkdir /tmp/case
	library_boot bzimage "$vcpus" reboot reboot=k --snapshot=/tmp/case/snapshot "$@" || return 1
	expect 'linux_vm: snapshot of' 'guest: signalled 1' "$result" 'linux_vm: reset after' || return 1
	expect_quiet || return 1
	line=$(grep -oE "$result.*" $out | tr -d '\r')
	for clone in 1 2; do
		devices=
		if [ -e /tmp/case/snapshot.overlay ]; then
			cp /tmp/case/snapshot.overlay /tmp/case/clone.overlay
			devices="--disk=disk.img --overlay=/tmp/case/clone.overlay"
		fi
		./linux_vm --restore /tmp/case/snapshot $devices --timeout 120 >$out 2>&1
		expect "$line" 'linux_vm: reset after' && expect_quiet || return 1
	done
	rm -rf /tmp/case
}

case_library_snapshot_work_1() { library_snapshots 1 'work sum=' ember.do=work; }
case_library_snapshot_work_4() { library_snapshots 4 'work sum=' ember.do=work; }

# The copy is what was copied, and the image that all share is what it was.
library_snapshots_disk()
{
	local image sums

	image=$(md5sum <disk.img)
	library_snapshots "$1" 'copy 6291456 bytes sum=' --disk=disk.img --overlay=/tmp/case/first.overlay \
		ember.modules=$virtio,virtio_blk ember.do=disk || return 1
	sums=$(sed -n 's/.*guest: copy .* sum=\(.*\) source=\(.*\)/\1 \2/p' $out | tr -d '\r')
	if [ "${sums% *}" != "${sums#* }" ]; then
		echo "the copy differs from its source: $sums"
		return 1
	fi
	if [ "$(md5sum <disk.img)" != "$image" ]; then
		echo "the image has changed"
		return 1
	fi
}

case_library_snapshot_disk_1() { library_snapshots_disk 1; }
case_library_snapshot_disk_4() { library_snapshots_disk 4; }

# wait_for PATTERN FILE: until a line of it matches.
wait_for()
{
	local tries=0

	until grep -qE "$1" "$2"; do
		tries=$((tries + 1))
		[ $tries -lt 240 ] || return 1
		sleep 0.5
	done
}

# library_agent_machine ARGUMENT...: linux_vm with all devices, in the background.
library_agent_machine()
{
	rm -f /tmp/vsock.sock
	./linux_vm --rng --vsock=/tmp/vsock.sock --tap=tap0 --timeout 300 "$@" >$out 2>&1 &
	machine=$!
}

# The agent by vsock and by TCP, before a snapshot and after a restore.
case_library_agent()
{
	local modules=$virtio,virtio-rng,vsock,vmw_vsock_virtio_transport_common,vmw_vsock_virtio_transport

	modules=$modules,qemu_fw_cfg,failover,net_failover,virtio_net
	rm -rf /tmp/case
	mkdir /tmp/case
	./linux_check tap tap0 10.7.0.1 || return 1
	library_agent_machine --kernel vmlinuz --initrd guest.cpio --entry pvh --vcpus 1 --memory 128 \
		--snapshot=/tmp/case/snapshot \
		--cmdline "console=ttyS0 quiet panic=-1 ember.modules=$modules ember.net=10.7.0.2 ember.do=network,agent"
	wait_for 'guest: signalled 0' $out && ./linux_check ask /tmp/vsock.sock identity &&
		./linux_check streams /tmp/vsock.sock 64 160 && ping -c 2 10.7.0.2 &&
		./linux_check ask /tmp/vsock.sock 'memory 32' && ./linux_check ask /tmp/vsock.sock 'signal 1' &&
		./linux_check ask /tmp/vsock.sock warnings && ./linux_check ask /tmp/vsock.sock identity &&
		./linux_check ask /tmp/vsock.sock 'exit reboot' || return 1
	wait $machine
	for clone in 1 2; do
		library_agent_machine --restore /tmp/case/snapshot
		until [ -S /tmp/vsock.sock ]; do
			sleep 0.2
		done
		./linux_check ask /tmp/vsock.sock identity && ./linux_check streams /tmp/vsock.sock 64 16 &&
			ping -c 2 10.7.0.2 && ./linux_check ask /tmp/vsock.sock identity &&
			./linux_check ask /tmp/vsock.sock 'exit reboot' || return 1
		wait $machine
	done
	rm -rf /tmp/case
}
