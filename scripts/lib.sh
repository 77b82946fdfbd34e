# scripts/lib.sh: sourced by the other scripts, which then stand in the root of the repository with a temporary folder $work that
# goes away, with every server started inside it, however the script ends.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by those who source this

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# `make test PG_CONFIG=...` reaches us through the environment.
PG_CONFIG=${PG_CONFIG:-pg_config}
# An absolute path, because the staged copy has a pg_config too, and that one tells the paths of the copy.
PG_CONFIG=$(command -v "$PG_CONFIG" || echo "$PG_CONFIG")
export PG_CONFIG

# The caller's PG* variables would lead clients of our private servers astray; only who wants the caller's own server keeps them.
[ "${1:-}" = --keep-pg ] || unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGSERVICE PGOPTIONS PGPASSFILE PGSSLMODE PGCLIENTENCODING

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# copy_first N FOLDER TO: its first files by name. awk reads to the end: with head a closed pipe would be an error.
copy_first() {
	find "$2" -type f | sort | awk -v n="$1" 'NR <= n { printf "%s%c", $0, 0 }' | xargs -r -0 cp --backup=numbered -t "$3"
}

# find_python [MODULE]: a Python that has what the converters need (Debian's own, where another one comes first in PATH), and MODULE.
find_python() {
	local candidate

	for candidate in python3 /usr/bin/python3; do
		if "$candidate" -c "import flatbuffers, google.protobuf, numpy, onnx, scipy.io${1:+, $1}" 2>/dev/null; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# A server refuses to run as root, so root's servers and their clients run as `postgres`, or as `nobody` where that is missing.
if [ "$(id -u)" = 0 ]; then
	server_user=$(id -nu postgres 2>/dev/null || echo nobody)
else
	server_user=$(id -nu)
fi

# as_server COMMAND...: runs it as that user. OPENBLAS_* are named one by one: results depend on them bit for bit, and a way of
# changing the user that drops the environment must not drop them.
as_server() {
	local name environment=(HOME="${work:-/}" PATH="$PATH")

	for name in ${!OPENBLAS_*}; do
		environment+=("$name=${!name}")
	done
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups env "${environment[@]}" "$@"
	else
		env "${environment[@]}" "$@"
	fi
}

# make_work: creates $work, owned by the server's user. Socket paths are limited to some 100 bytes, so a long TMPDIR is not used.
make_work() {
	local parent=${TMPDIR:-/tmp}

	[ ${#parent} -le 50 ] || parent=/tmp
	work=$(mktemp -d "$parent/eddh.XXXXXX")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chown "$server_user" "$work"
	chmod 755 "$work"
}

# Ends what a test or an interrupt left running: only servers whose data folder lies in $work, each by its own pid file.
clean_up() {
	local status=$? file

	trap - EXIT
	while IFS= read -r file; do
		stop_server "$(dirname "$file")" immediate
	done < <(find "$work" -name postmaster.pid 2>/dev/null)
	if [ -n "${KEEP_WORK:-}" ]; then
		say "kept: $work"
	else
		rm -rf "$work"
	fi
	exit "$status"
}

# stop_server DATA [smart|fast|immediate]
stop_server() {
	local pid signal=INT

	[ "${2:-fast}" != immediate ] || signal=QUIT
	pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
	# A stale file may name a process that is not ours; a server stands in its data folder.
	[ ! -d /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$1" ] || return 0
	kill -s "$signal" "$pid" 2>/dev/null || return 0
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -s KILL "$pid" 2>/dev/null || true
}

# use_stage FOLDER: from now on psql, initdb and the server are those of the copy that scripts/stage has made there.
use_stage() {
	stage=$1
	PATH="$stage$("$PG_CONFIG" --bindir):$PATH"
	pgxs_dir="$stage$("$PG_CONFIG" --pkglibdir)/pgxs"
	export PATH
}

# start_server NAME [CONFIGURATION LINE...]: a new private cluster $work/NAME/data that listens only on the socket in $work/NAME,
# port 5432, superuser postgres, any user trusted (nobody else may enter the folder). Sets PGHOST and PGUSER to reach it.
# Crash safety is off: these clusters never outlive the script. A later configuration line wins.
start_server() {
	local name=$1 data="$work/$1/data"
	shift
	# The server's user may not be able to enter the repository, and initdb warns of that.
	pushd "$work" >/dev/null
	as_server mkdir -m 700 "$work/$name"
	as_server initdb -D "$data" -U postgres -A trust -E UTF8 --no-locale -N >"$work/initdb.log" 2>&1 ||
		{ cat "$work/initdb.log"; die "initdb failed"; }
	{
		printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work/$name'" 'port = 5432' 'fsync = off' \
			'max_worker_processes = 32' 'jit = off' "log_line_prefix = '%m [%p] %a '"
		[ $# = 0 ] || printf '%s\n' "$@"
	} | as_server tee -a "$data/postgresql.conf" >/dev/null
	as_server pg_ctl -D "$data" -l "$work/$name/log" -w -t 60 start >/dev/null ||
		{ cat "$work/$name/log"; die "the private server did not start"; }
	popd >/dev/null
	export PGHOST="$work/$name" PGPORT=5432 PGUSER=postgres
}
