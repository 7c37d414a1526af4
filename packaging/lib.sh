# Shared by tests/run and packaging/demo; to be sourced. Finds what a fresh Debian machine lacks, and gets it.
# shellcheck shell=bash

# Without HOME (cron, a chroot) the user's own; cargo and rustup look for it there, too.
[[ -n ${HOME:-} ]] || { unset HOME; export HOME=~; }

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

# What rustup calls the toolchain that is wanted: in rust-toolchain.toml, in the top directory.
toolchain() {
    sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml
}

# recent_rust: whether cargo is there, and as recent as Cargo.toml wants. rustup has to have the toolchain already: it
# would fetch it without a word.
recent_rust() {
    local found least
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || return 1
    if command -v rustup >/dev/null; then
        rustup toolchain list 2>/dev/null | grep -q "^$(toolchain)-" || return 1
    fi
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
    [[ "$(printf '%s\n' "$least" "${found:-0}" | sort -V | head -n 1)" == "$least" ]]
}

# find_cargo: finds cargo, where rustup puts it too. To be called in the top directory.
find_cargo() {
    recent_rust && return 0
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    recent_rust || fail "there is no Rust $(toolchain), and nothing is installed because of --no-install; without it, this does"
}

# need_cargo: the same, and brings Rust if there is none: rustup, by Debian's package if there is one, else by its own
# installer, for this user alone; and by it the toolchain that rust-toolchain.toml names.
need_cargo() {
    recent_rust && return 0
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    recent_rust && return 0
    command -v rustup >/dev/null || bring_rustup
    say "installs Rust $(toolchain), for this user alone"
    rustup toolchain install "$(toolchain)" --no-self-update --profile minimal --component clippy,rustfmt ||
        fail "cannot install Rust $(toolchain); if there is no way to static.rust-lang.org, set HTTPS_PROXY"
    recent_rust || fail "$(command -v cargo) is not rustup's, or too old: put rustup's before it in PATH"
}

# bring_rustup: Debian's package takes the place of Debian's cargo, so where another cargo is, rustup's installer is
# asked, which touches no other.
bring_rustup() {
    if ! command -v cargo >/dev/null && packaged rustup; then
        need rustup ca-certificates
        return 0
    fi
    need curl ca-certificates
    local installer=https://static.rust-lang.org/rustup/rustup-init.sh
    local options=(-y --no-modify-path --profile minimal --default-toolchain none)
    say "runs rustup's own installer, for this user alone: curl $installer | sh -s -- ${options[*]}"
    curl --proto '=https' --tlsv1.2 -sSf "$installer" | RUSTUP_INIT_SKIP_PATH_CHECK=yes sh -s -- "${options[@]}" ||
        fail "cannot install rustup: install Rust $(toolchain) by hand, see https://rustup.rs"
}

# packaged PACKAGE: whether Debian has it, by the lists that are there, or by new ones.
packaged() {
    candidate "$1" && return 0
    as_root apt-get update -qq </dev/null
    candidate "$1"
}

# candidate PACKAGE: whether it could be installed. A package that others only mention is known as well.
candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}
