# SPDX-License-Identifier: Apache-2.0
#
# The daemon of the outer machine, and how cases speak to it.

export EMBER_SOCKET=/tmp/ember.sock

daemon_log=/tmp/emberd.log
daemon=

# Nothing is kept warm but what a case asks for: there is one CPU, and the cases measure and wait.
start_daemon()
{
	local tries=0

	cat >/tmp/emberd.json <<-'END'
		{"log": {"level": "info", "format": "text"}, "drain_timeout_ms": 1000, "pool": {"shapes": []}}
	END
	./emberd --config /tmp/emberd.json --socket $EMBER_SOCKET --http-socket '' --state-dir /tmp/ember \
		>$daemon_log 2>&1 &
	daemon=$!
	until ./emberctl server ping >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 100 ] || ! kill -0 $daemon 2>/dev/null; then
			echo "emberd does not serve:"
			cat $daemon_log
			return 1
		fi
		sleep 0.2
	done
}

# It ends in order, and no process of its is left.
stop_daemon()
{
	local status=0

	kill -TERM $daemon
	wait $daemon || status=$?
	if [ $status -ne 0 ]; then
		echo "emberd ended with status $status"
		return 1
	fi
	if ps | grep -v grep | grep emberd; then
		echo "processes of emberd are left"
		return 1
	fi
}

# ctl COMMAND...: emberctl, with a bound for how long it may take; what it says is added to $out.
ctl()
{
	./emberctl "$@" --deadline-ms 120000 >>$out 2>&1
}

# start COMMAND...: emberctl starts a VM, whose id is then in $vm.
start()
{
	vm=
	./emberctl "$@" >/tmp/started 2>&1
	cat /tmp/started >>$out
	vm=$(awk '$1 == "vm" { print $2; exit }' /tmp/started)
	[ -n "$vm" ]
}

# The kernel is put into the daemon's store by the first case that boots it.
add_kernel()
{
	./emberctl kernel inspect debian >/dev/null 2>&1 || ctl kernel add debian /ember/vmlinuz
}

# boot ENTRY VCPUS ARGUMENTS [FLAG...]: boot a Linux guest, whose id is then in $vm. ARGUMENTS go to the kernel's command
# line, flags to emberctl.
boot()
{
	local entry=$1 vcpus=$2 arguments=$3

	shift 3
	add_kernel && start vm boot --kernel debian --entry "$entry" --vcpus "$vcpus" --initrd /ember/guest.cpio \
		--cmdline "console=ttyS0 loglevel=5 panic=-1 $arguments" "$@"
}

# ends VM REASON: the VM ends by itself, for that reason. Its console is added to $out, and it is released.
ends()
{
	ctl vm wait "$1" exit || return 1
	ctl vm console "$1" read && ctl vm release "$1" && expect "^exit reason +$2\$"
}
