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

# Debian starts the servers of some packages as they are installed, on ports that may be taken, and fails if one does not
# start. Within this, none is started.
without_daemons() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ] || ! have apt-get; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
  "$@" || status=$?
  as_root rm -f "$policy"
  return "$status"
}

# DNS servers that take updates, for the tests of orders by DNS-01; each test runs on those that are there.
want_dns_servers() {
  local missing=()
  [ -x /usr/sbin/named ] || missing+=(named:bind9)
  [ -x /usr/sbin/knotd ] || missing+=(knotd:knot)
  [ -x /usr/sbin/pdns_server ] || missing+=(pdns_server:pdns-server)
  [ -d /usr/share/pdns-backend-sqlite3 ] || missing+=(no-such-command:pdns-backend-sqlite3)
  [ ${#missing[@]} -eq 0 ] || without_daemons apt_for "${missing[@]}" ||
    say "no BIND, Knot or PowerDNS: orders by DNS-01 are tested on what is there"
}

# A real log with the static CT API, for the test of the monitor. Debian has it from forky on; elsewhere the package of sid is
# unpacked below target/tools, by an apt that has its own lists and verifies Debian's signature: the system keeps its sources
# and its packages. Without it that test is skipped.
want_sunlight() {
  have sunlight && have sunlight-keygen && return 0
  local tool=$PWD/target/tools/sunlight
  [ -x "$tool/usr/bin/sunlight" ] || fetch_sunlight "$tool" >&2 || { say "no sunlight: the monitor is tested beside our own log"; return 0; }
  export PATH="$tool/usr/bin:$PATH"
}

fetch_sunlight() {
  local tool=$1 dir archive keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  have apt-get && have dpkg && [ -r "$keyring" ] || return 1
  # Where this system gets Debian from, sid is to be had, too.
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
  [ -n "$archive" ] || return 1
  say "fetching sunlight from Debian sid"
  dir=$(mktemp -d)
  mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/unpacked"
  printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\nSigned-By: %s\n' "$archive" "$keyring" \
    >"$dir/sources/sid.sources"
  local apt=(apt-get -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$dir/sources"
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o "Dir::State::Lists=$dir/lists"
    -o "Dir::Cache=$dir/cache" -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o APT::Sandbox::User="$(id -un)")
  (cd "$dir" && timeout 300 "${apt[@]}" update && timeout 300 "${apt[@]}" download sunlight &&
    dpkg -x sunlight_*.deb unpacked && unpacked/usr/bin/sunlight -h 2>/dev/null &&
    mkdir -p "${tool%/*}" && rm -rf "$tool" && mv unpacked "$tool")
  rm -rf "$dir"
  [ -x "$tool/usr/bin/sunlight" ]
}

# A mock of Amazon's services, for the tests of zones at Route 53.
want_moto() { (need_python_tool moto) || say "no moto: zones at Route 53 are not tested"; }

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
