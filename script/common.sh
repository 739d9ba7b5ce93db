# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
# What the scripts share. Sourced, never run; the caller is at the root of the repository.

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Prints the usage: the comment block at the head of the calling script.
usage() { sed -n '3,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif have sudo; then sudo "$@"; else return 1; fi
}

# Debian packages for the commands that are missing: `apt_for cc:build-essential curl:curl`.
apt_for() {
  local pair missing=()
  for pair in "$@"; do
    have "${pair%%:*}" || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  have apt-get || { say "not a Debian: please install ${missing[*]}"; return 1; }
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || say "apt-get update failed; trying anyway"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What every build needs. rustup and Node are the reader's own choice of version and are not installed here.
need_toolchain() {
  export PATH="$HOME/.cargo/bin:$PATH"
  have cargo || fail "cargo is missing: install Rust 1.95 or newer, https://rustup.rs"
  apt_for cc:build-essential c++:build-essential git:git || fail "a C compiler and git are needed"
}

# Some tools come from PyPI, each into an environment of its own.
need_python() {
  apt_for python3:python3 || fail "python3 is missing: install Python 3.11 or newer"
  python3 -c 'import ensurepip, venv' 2>/dev/null && return 0
  have apt-get || fail "python3 has no venv: install the package that holds it"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
}

# Puts a tool and everything it needs, in exactly the versions listed, into a directory of its own.
need_python_tool() {
  local name=$1 list=script/requirements/$1.txt
  tool=target/tools/$name
  cmp -s "$list" "$tool/installed.txt" && return 0
  need_python
  say "installing $name from PyPI"
  rm -rf "$tool"
  python3 -m venv "$tool"
  "$tool/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$list"
  cp "$list" "$tool/installed.txt"
}

# The demo and some tests use Let's Encrypt's test CA when it is there; there is an embedded issuer for when it is not.
want_pebble() { apt_for pebble:pebble || say "no pebble: the embedded certificate issuer takes its place"; }

# DNS servers that take updates, for the tests of orders by DNS-01; each test runs on those that are there.
want_dns_servers() {
  { [ -x /usr/sbin/named ] || apt_for named:bind9; } && { [ -x /usr/sbin/knotd ] || apt_for knotd:knot; } ||
    say "no BIND or no Knot: orders by DNS-01 are tested on what is there"
}

# Programs of others that look at the gateway's TLS; each test skips where its own is missing.
want_tls_tools() {
  apt_for openssl:openssl curl:curl h2load:nghttp2-client testssl:testssl.sh chromium:chromium certutil:libnss3-tools ||
    say "not all of openssl, curl, h2load, testssl, Chromium and certutil: the TLS port is tested by what is there"
}

# What the gateway is measured beside.
want_proxies() {
  { [ -x /usr/sbin/nginx ] || apt_for nginx:nginx no-such-command:libnginx-mod-stream; } &&
    { [ -x /usr/sbin/haproxy ] || apt_for haproxy:haproxy; } || say "no nginx or no HAProxy: the gateway is measured alone"
}

# Where Debian and others put the programs of PostgreSQL's server, the newest first.
postgres_programs() {
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin | sort -rV); do
    [ -x "$dir/initdb" ] && { printf '%s' "$dir"; return 0; }
  done
  have initdb && dirname "$(command -v initdb)"
}

need_postgres() {
  [ -n "$(postgres_programs)" ] && return 0
  have apt-get || fail "PostgreSQL is missing: install its server, version 12 or newer"
  say "installing postgresql"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || say "apt-get update failed; trying anyway"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

# PostgreSQL refuses to run as root; Debian's package comes with a user for it.
as_postgres() {
  if [ "$(id -u)" -ne 0 ]; then "$@"; else (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"); fi
}

# Starts a server for the tests of this run and says where it is in MANDATE_TEST_POSTGRES; `stop_postgres` ends it. Commits
# are not synced: what is tested is the death of relayers, not of the database.
start_postgres() {
  need_postgres
  postgres_dir=$(mktemp -d)
  [ "$(id -u)" -ne 0 ] || chown postgres "$postgres_dir"
  local programs
  programs=$(postgres_programs)
  as_postgres "$programs/initdb" --pgdata="$postgres_dir/data" --username=mandate --auth=trust --encoding=UTF8 \
    --no-locale --no-sync >/dev/null || fail "initdb failed"
  as_postgres "$programs/pg_ctl" --pgdata="$postgres_dir/data" --log="$postgres_dir/log" --silent --wait start -o \
    "-c listen_addresses='' -k $postgres_dir -c fsync=off -c full_page_writes=off -c max_connections=400" ||
    { cat "$postgres_dir/log" >&2; fail "PostgreSQL did not start"; }
  export MANDATE_TEST_POSTGRES="postgres://mandate@localhost/postgres?host=$postgres_dir"
}

stop_postgres() {
  [ -n "${postgres_dir:-}" ] || return 0
  as_postgres "$(postgres_programs)/pg_ctl" --pgdata="$postgres_dir/data" --mode=immediate --silent stop || true
  rm -rf "$postgres_dir"
  postgres_dir=
}
