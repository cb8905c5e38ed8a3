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

# started COMMAND...: emberctl starts a VM; prints its id. What emberctl says is added to $out.
started()
{
	./emberctl "$@" >/tmp/started 2>&1
	cat /tmp/started >>$out
	awk '$1 == "vm" { print $2; exit }' /tmp/started
}

# ctl COMMAND...: emberctl, with a bound for how long it may take; what it says is added to $out.
ctl()
{
	./emberctl "$@" --deadline-ms 120000 >>$out 2>&1
}
