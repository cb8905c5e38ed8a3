# SPDX-License-Identifier: Apache-2.0
#
# Snapshots in the middle of what a guest does.

virtio=virtio_ring,virtio,virtio_mmio

# snapshots VCPUS RESULT ARGUMENTS [FLAG...]: a guest signals event 1 in the middle of a job, and is snapshotted there.
# The line of the job's result is the same in it and in two clones, which are restored one after the other.
snapshots()
{
	local vcpus=$1 result="guest: $2" arguments=$3 line clone original

	shift 3
	boot bzimage "$vcpus" "ember.end=reboot $arguments" "$@" && original=$vm &&
		ctl vm wait "$original" event --event 1 &&
		ctl vm snapshot "$original" middle --no-resume --overwrite && ctl vm console "$original" read || return 1
	if grep -q "$result" $out; then
		echo "the job was done before the snapshot"
		return 1
	fi
	ctl vm resume "$original" && ends "$original" reset && expect "$result" && expect_quiet || return 1
	line=$(grep -oE "$result.*" $out | tr -d '\r')
	for clone in 1 2; do
		: >$out
		start vm restore middle && ends "$vm" reset && expect "$line" && expect_quiet || return 1
	done
	ctl snapshot remove middle --files
}

case_snapshot_work_1() { snapshots 1 'work sum=' ember.do=work; }
case_snapshot_work_4() { snapshots 4 'work sum=' ember.do=work; }

# The copy is what was copied, and the image that all share is what it was.
snapshots_disk()
{
	local image sums

	image=$(md5sum <disk.img)
	snapshots "$1" 'copy 6291456 bytes sum=' "ember.modules=$virtio,virtio_blk ember.do=disk" \
		--drives path=/ember/disk.img,overlay_folder=/tmp || return 1
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

case_snapshot_disk_1() { snapshots_disk 1; }
case_snapshot_disk_4() { snapshots_disk 4; }

# The guest waits for the ACPI event of its new generation ID, which a clone is sent and the original is not.
case_snapshot_generation_id()
{
	local original

	boot pvh 1 'ember.end=poweroff ember.do=generation' && original=$vm && ctl vm wait "$original" event --event 3 &&
		ctl vm snapshot "$original" generation && start vm restore generation && ends "$vm" power_off &&
		expect 'guest: generation id [0-9a-f]{32} to [0-9a-f]{32}, 1 events' && expect_quiet || return 1
	if grep -qE 'generation id ([0-9a-f]{32}) to (\1|0{32})' $out; then
		echo "the clone has no generation ID of its own"
		return 1
	fi
	ends "$original" power_off && expect 'guest: generation id ([0-9a-f]{32}) to \1, 0 events' || return 1
	ctl snapshot remove generation --files
}

# Shells that are built together, and a restore soon after the snapshot.
case_snapshot_tsc()
{
	./linux_check tsc 5 >>$out 2>&1 && ctl pool configure 1 16 --min 0 --max 0
}
