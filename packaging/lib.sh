# Shared by tests/run and packaging/demo; to be sourced. Finds what a fresh Debian machine lacks, and gets it.
# shellcheck shell=bash

# say WORDS...: one line about what is going on.
say() {
    printf '%s\n' "== $*"
}

# fail WORDS...: says what is wrong and what to do, and ends the script.
fail() {
    printf '%s\n' "$(basename "$0"): $*" >&2
    exit 1
}

# installed PACKAGE: whether Debian's package is there.
installed() {
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" == installed ]]
}

# as_root COMMAND...: runs a command as root, by sudo if need be.
as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        say "needs root, by sudo: $*"
        sudo "$@"
    else
        fail "needs root and there is no sudo; as root, run: $*"
    fi
}

# What need runs as root. The services that packages bring are not started, as Debian's policy-rc.d lets an
# administrator say; one that is there already stays.
# shellcheck disable=SC2016
install_idle='
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"'

# need PACKAGE...: installs those of Debian's packages that are missing. The lists are fetched anew only if
# the packages are not to be had from the lists that are there.
need() {
    command -v dpkg-query >/dev/null ||
        fail "this is no Debian: install by hand what these packages hold, then run the cargo commands of tests/run: $*"
    local package missing=()
    for package; do
        installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    say "installs from Debian: ${missing[*]}"
    local apt_get=(sh -c "$install_idle" apt-get "${missing[@]}")
    as_root "${apt_get[@]}" </dev/null >/dev/null 2>&1 && return 0
    as_root apt-get update -qq </dev/null
    as_root "${apt_get[@]}" </dev/null >/dev/null || fail "cannot install: ${missing[*]}"
}

# need_java: any Java will do; only if there is none, Debian's.
need_java() {
    command -v java >/dev/null || need default-jre-headless
}

# recent_rust: whether cargo is there, and as recent as Cargo.toml wants.
recent_rust() {
    local found
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
    command -v cargo >/dev/null && [[ "$(printf '%s\n' "$least" "${found:-0}" | sort -V | head -n 1)" == "$least" ]]
}

# find_cargo: finds cargo, where rustup puts it too, or names the command that installs Rust. To be called in the
# top directory.
find_cargo() {
    local least
    recent_rust && return 0
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    recent_rust && return 0
    fail "there is no Rust, or none as recent as $least. This installs it for you alone; then try again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"
}
