# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The outer machine: a process of QEMU's that is watched while it runs.
#
# QEMU 7.2's emulation of SVM loses an interrupt of the outer machine now and then: it changes a CPU's set of pending
# interrupts without a lock when it enters or leaves a guest. The interrupt waits in the APIC until another one comes,
# which is never where it was that of the outer machine's timer and the guest spins with interrupts off. So another one
# comes twice a second, from outside: a line into the serial port, which the outer machine reads.
#
# A machine that says nothing for long is stuck all the same. What QEMU's monitor knows of its CPUs and their interrupts
# is printed before it is ended.

# Seconds of processor time that QEMU may take until the machine says something. A case takes one minute of it. A machine
# that waits for ever takes none, so there is a limit in real time, too.
silence_limit=${EMBER_LINUX_SILENCE_LIMIT:-400}
idle_limit=$((silence_limit * 4))

# Seconds that a machine gets. ctest's own limit is above this, so that what is printed here is seen.
time_limit=${EMBER_LINUX_TIME_LIMIT:-5400}

machine= # QEMU's process ID, while there is one

# beat LOG: the steady interrupt. The machine says something once it no longer echoes what comes in. It ends with its
# reader, or with the machine's pipes.
beat()
{
	until [[ -s $1 || ! -p ${1%/*}/monitor.in ]]; do
		sleep 0.5
	done
	while echo 2>/dev/null; do
		sleep 0.5
	done
}

# start_machine LOG KERNEL INITRD APPEND CPUS: in the folder of the log, where its monitor's pipes are. It has no XSAVE:
# QEMU's emulation lets a nested guest's XSETBV through to the outer machine's own register, which no KVM can make sense
# of. It ends with us, however we end.
start_machine()
{
	local log=$1 folder=${1%/*}

	rm -f "$folder"/monitor.{in,out}
	mkfifo "$folder"/monitor.{in,out}
	: >"$log"
	(cd "$folder" && exec setpriv --pdeathsig KILL qemu-system-x86_64 -accel tcg -cpu max,-xsave -smp "$5" -m 2560 \
		-nodefaults -display none -serial stdio -chardev pipe,id=monitor,path=monitor -mon chardev=monitor \
		-no-reboot -kernel "$2" -initrd "$3" -append "$4") < <(beat "$log") >>"$log" 2>&1 &
	machine=$!
}

# ask_monitor FOLDER COMMAND...: what the monitor answers within a few seconds, without the editing of its input line and
# without floating-point registers; nothing if it does not answer.
ask_monitor()
{
	local folder=$1 escape=$'\e'

	shift
	timeout 10 bash -c 'printf "%s\n" "${@:2}" >"$1/monitor.in"' ask "$folder" "$@" || return 0
	timeout 3 cat "$folder/monitor.out" | tr -d '\r' |
		sed "s/^\((qemu) \)\{0,1\}.*$escape\[D\(.*\)$escape\[K\$/(qemu) \2/; /^FPR[0-9]=/d; /^XMM[0-9]*=/d" || true
}

# describe_machine FOLDER CPUS: registers twice, so that one sees whether the CPUs get anywhere.
describe_machine()
{
	local apics=() cpu

	for ((cpu = 0; cpu < $2; cpu++)); do
		apics+=("info lapic $cpu")
	done
	ask_monitor "$1" "info status" "info cpus" "info registers -a" "${apics[@]}" "info pic" "info irq"
	ask_monitor "$1" "info registers -a"
}

end_machine()
{
	[[ -n $machine ]] || return 0
	kill -KILL "$machine" 2>/dev/null || true
	wait "$machine" 2>/dev/null || true
	machine=
}

# Print what the log has more of than was shown; false where that is nothing.
show_more()
{
	local size

	size=$(stat --format=%s "$1")
	((size > shown)) || return 1
	tail --bytes=+$((shown + 1)) "$1" | head --bytes=$((size - shown))
	shown=$size
}

# The seconds of processor time that QEMU has taken (proc(5): utime and stime).
busy_seconds()
{
	local fields

	read -ra fields 2>/dev/null <"/proc/$machine/stat" || return 0
	echo $(((fields[13] + fields[14]) / $(getconf CLK_TCK)))
}

# run_machine LOG KERNEL INITRD APPEND CPUS: until it ends; its console is shown as it comes. Returns QEMU's status, or
# 124 where it took too long or said nothing for too long, which is told.
run_machine()
{
	local log=$1 folder=${1%/*} start=$SECONDS heard=$SECONDS busy=0 busy_heard=0 shown=0 status=0

	start_machine "$@"
	while kill -0 "$machine" 2>/dev/null; do
		sleep 1
		busy=$(busy_seconds 2>/dev/null)
		if show_more "$log"; then
			heard=$SECONDS
			busy_heard=$busy
		fi
		if ((busy - busy_heard >= silence_limit || SECONDS - heard >= idle_limit ||
			SECONDS - start >= time_limit)); then
			echo "The machine has run for $((SECONDS - start)) s and said nothing for $((SECONDS - heard)) s," \
				"in which QEMU took $((busy - busy_heard)) s of processor time; its monitor says:" \
				>"$folder/monitor.log"
			describe_machine "$folder" "$5" >>"$folder/monitor.log"
			end_machine
			cat "$folder/monitor.log" >>"$log"
			status=124
		fi
	done
	if [[ -n $machine ]]; then
		wait "$machine" || status=$?
		machine=
	fi
	show_more "$log" || true
	rm -f "$folder"/monitor.{in,out}
	return "$status"
}
