# Set-up that ./demo and ./test share: is this a system that will do, and what must be installed first?
# Sourced, not run. Installs with apt only what is missing, and leaves no service running or enabled that was
# not there before.

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 69; }

# The oldest toolchain that builds the project; Cargo.toml says the same.
readonly RUST_MINOR=95

check_system() {
  [ "$(uname -s)" = Linux ] || die "needs Linux; this is $(uname -s)"
  command -v cargo >/dev/null || die "needs Rust 1.$RUST_MINOR or newer: cargo is not there; see https://rustup.rs"
  local version minor
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2)
  minor=$(printf %s "$version" | cut -d. -f2)
  case $version in
    1.*) [ "$minor" -ge "$RUST_MINOR" ] || die "needs Rust 1.$RUST_MINOR or newer; this is $version" ;;
    *) die "cannot tell the version of Rust: rustc --version says '$version'" ;;
  esac
}

# need COMMAND:PACKAGE ... installs the packages whose command (or file, when it begins with /) is missing.
need() {
  local pair missing=()
  for pair in "$@"; do
    case $pair in
      /*) [ -e "${pair%%:*}" ] || missing+=("${pair##*:}") ;;
      *) PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || die "needs these Debian packages, and there is no apt-get here: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "run once as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" bash -s -- "${missing[@]}" <<<"$(declare -f install_quietly enabled_services); install_quietly \"\$@\"" ||
    die "apt-get could not install ${missing[*]}"
}

# unpack NAME FILE PACKAGE ... -- LIBRARY-PACKAGE ... unpacks packages into target/peers/NAME without installing them,
# unless FILE is there or on the system already, and installs the libraries that they need.
unpack() {
  local name=$1 file=$2 folder package packages=()
  shift 2
  folder=$PWD/target/peers/$name
  while [ "$1" != -- ]; do packages+=("$1"); shift; done
  shift
  if [ -e "/$file" ] || [ -e "$folder/$file" ]; then return; fi
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || need "/missing:$package"
  done
  say "unpacking ${packages[*]} into target/peers/$name"
  local fresh
  mkdir -p "$PWD/target/peers"
  fresh=$(mktemp -d "$PWD/target/peers/.$name.XXXXXX")
  (
    cd "$fresh"
    apt-get download -q "${packages[@]}" >/dev/null 2>&1 ||
      { [ "$(id -u)" -eq 0 ] && apt-get update -q >/dev/null 2>&1 && apt-get download -q "${packages[@]}" >/dev/null 2>&1; } ||
      die "apt-get could not download ${packages[*]}"
    mkdir root
    for package in ./*.deb; do dpkg -x "$package" root; done
  ) || { rm -rf "$fresh"; exit 69; }
  mv "$fresh/root" "$folder"
  rm -rf "$fresh"
}

# What starts at boot now, a line each.
enabled_services() {
  { find /etc/systemd/system -type l 2>/dev/null; find /etc/rc[2345].d -name 'S*' 2>/dev/null; } | sort
}

# Runs as root. A policy-rc.d that says 101 keeps packages from starting their services; what they enable
# for the next boot is taken back afterwards.
install_quietly() {
  set -eu
  policy=/usr/sbin/policy-rc.d kept=''
  before=$(mktemp) log=$(mktemp)
  enabled_services >"$before"
  if [ -e "$policy" ]; then kept=$(mktemp) && cp -p "$policy" "$kept"; fi
  restore() {
    if [ -n "$kept" ]; then cp -p "$kept" "$policy" && rm -f "$kept"; else rm -f "$policy"; fi
    rm -f "$before" "$log"
  }
  trap restore EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  export DEBIAN_FRONTEND=noninteractive
  printf '%s\n' 'slapd slapd/no_configuration boolean true' \
    'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  if ! apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1; then
    apt-get update -q >"$log" 2>&1 && apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; return 1; }
  fi
  # Links that were not there before are the new packages' own.
  enabled_services | comm -13 "$before" - | while read -r link; do rm -f "$link"; done
}
