#!/bin/sh
# Installs coord: the program, its completions, its manual pages, and the old name coordination_helper.sh.
#
# From a checkout it builds the program; from a release archive it checks the SHA-256 first. It never asks
# for more rights, edits no start-up file, and takes away with --uninstall exactly what it put there.
# Nothing happens before the last line, so that a file that was cut on its way does nothing.

usage() {
  cat <<'END'
usage: install.sh [OPTIONS]

  --prefix DIR      where to install [default: /usr/local for root, else ~/.local]
  --archive FILE    install from this release archive; FILE.sha256 must lie beside it
  --sha256 HEX      what the SHA-256 of the archive must be, instead of FILE.sha256
  --bin FILE        do not build: install this program with the other files of the checkout
  --uninstall       remove what an earlier run with the same --prefix installed
  --dry-run         say what would be done, and do nothing
  --quiet           say nothing but errors
  --help            show this

DESTDIR in the environment is put before every path that is written, for those who make packages.
END
}

say() {
  [ -n "$quiet" ] || printf '%s\n' "$1"
}

warn() {
  printf 'warning: %s\n' "$1" >&2
}

die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

sha256_of() {
  if has sha256sum; then
    sha256sum <"$1" | cut -d ' ' -f 1
  elif has shasum; then
    shasum -a 256 <"$1" | cut -d ' ' -f 1
  else
    die 'neither sha256sum nor shasum is here, so the SHA-256 cannot be checked'
  fi
}

# Sets $stage to a directory that goes away at the end, however it comes.
make_stage() {
  stage=$(mktemp -d) || die 'no temporary directory can be made'
  trap 'rm -rf "$stage"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# Checks a file against a SHA-256 in hexadecimal.
check_sum() {
  wanted=$(printf '%s' "$2" | tr 'A-F' 'a-f')
  case $wanted in
    *[!0-9a-f]*) die "\`$2\` is no SHA-256" ;;
  esac
  [ ${#wanted} -eq 64 ] || die "\`$2\` is no SHA-256" 'it has 64 hexadecimal digits'
  found=$(sha256_of "$1")
  [ "$found" = "$wanted" ] || die "the SHA-256 of \`$1\` is $found, expected $wanted; nothing was installed" \
    'the file is damaged or not the one that was released: get it again'
}

# Unpacks the archive; the files are in $files then, the program in $program.
from_archive() {
  [ -f "$archive" ] || die "there is no file \`$archive\`"
  if [ -z "$sum" ]; then
    [ -f "$archive.sha256" ] || die "\`$archive.sha256\` is missing; nothing was installed" \
      'get it from where the archive came from, or give --sha256'
    read -r sum _ <"$archive.sha256" || [ -n "$sum" ] || die "\`$archive.sha256\` is empty"
  fi
  check_sum "$archive" "$sum"
  make_stage
  tar -xzf "$archive" -C "$stage" || die "\`$archive\` cannot be unpacked"
  for files in "$stage"/*/; do
    files=${files%/}
  done
  program=$files/coord
  [ -f "$program" ] || die "\`$archive\` is no release archive of coord: it has no program"
}

# An archive that was unpacked by hand: every file in it must be what the list says.
from_unpacked() {
  files=$here
  program=$here/coord
  grep -q ' coord$' "$here/SHA256SUMS" || die 'SHA256SUMS does not name the program; nothing was installed'
  while read -r sum name; do
    [ -f "$here/$name" ] || die "\`$name\` is missing; nothing was installed"
    check_sum "$here/$name" "$sum"
  done <"$here/SHA256SUMS"
}

# Sets $target to the static target of this machine if it is there or can be had.
pick_target() {
  target=
  case $(uname -s)/$(uname -m) in
    Linux/x86_64) target=x86_64-unknown-linux-musl ;;
    Linux/aarch64) target=aarch64-unknown-linux-musl ;;
    *) return ;;
  esac
  if ! has rustup; then
    [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ] || target=
  elif ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    say "adding the Rust target $target, for a static program that starts faster"
    rustup target add "$target" >&2 || target=
  fi
  [ -n "$target" ] || say 'no static target is to be had: building for this machine'
}

# Builds the program; it is $program then.
from_checkout() {
  files=$here
  if [ -n "$program" ]; then
    [ -f "$program" ] || die "there is no file \`$program\`"
    case $program in
      /*) ;;
      *) program=$PWD/$program ;;
    esac
    return
  fi
  if [ -n "$dry" ]; then
    say "would build the program in $here"
    program=$here/target/release/coord
    return
  fi
  has cargo || die 'cargo is missing' 'get Rust from https://rustup.rs, or install from a release archive'
  out=${CARGO_TARGET_DIR:-$here/target}
  pick_target
  set -- build --release --locked --target-dir "$out"
  [ -z "$quiet" ] || set -- "$@" --quiet
  if [ -n "$target" ]; then
    say "building for $target"
    if (cd "$here" && cargo "$@" --target "$target" >&2); then
      program=$out/$target/release/coord
      return
    fi
    say "it cannot be built for $target: building for this machine"
  fi
  (cd "$here" && cargo "$@" >&2) || die 'the program cannot be built'
  program=$out/release/coord
}

# Reads and writes stand in one list: the file to take (or `->` and where a link leads), and where it goes.
list_files() {
  printf '%s\t%s\n' "$program" bin/coord
  printf '%s\t%s\n' '-> coord' bin/coordination_helper.sh
  printf '%s\t%s\n' "$files/completions/coord.bash" share/bash-completion/completions/coord
  printf '%s\t%s\n' "$files/completions/_coord" share/zsh/site-functions/_coord
  printf '%s\t%s\n' "$files/completions/coord.fish" share/fish/vendor_completions.d/coord.fish
  printf '%s\t%s\n' "$files/completions/coord.elv" share/elvish/lib/coord.elv
  printf '%s\t%s\n' "$files/completions/coord.ps1" share/coord/coord.ps1
  for page in "$files"/man/*.1; do
    printf '%s\t%s\n' "$page" "share/man/man1/${page##*/}"
  done
}

# Whether an earlier run wrote this path.
is_ours() {
  [ -f "$receipt" ] && grep -qxF "F $1" "$receipt"
}

is_there() {
  [ -e "$1" ] || [ -L "$1" ]
}

# Makes a directory and those above it, and writes down which of them were not there.
make_dir() {
  if [ -d "$DESTDIR$1" ] || grep -qxF "D $1" "$made"; then
    return
  fi
  case $1 in
    */*/*) make_dir "${1%/*}" ;;
  esac
  if [ -n "$dry" ]; then
    say "would make $DESTDIR$1"
  else
    mkdir -p "$DESTDIR$1" 2>/dev/null || die "cannot make \`$DESTDIR$1\`" 'choose a place that is yours with --prefix'
  fi
  printf 'D %s\n' "$1" >>"$made"
}

# Writes one file beside its place and moves it there, so that a running program is never half replaced.
put() {
  to=$DESTDIR$prefix/$2 new=$DESTDIR$prefix/$2.new.$$
  if [ -n "$dry" ]; then
    say "would write $to"
    return
  fi
  if ! {
    case $1 in
      '-> '*) ln -s "${1#-> }" "$new" ;;
      *) cp "$1" "$new" && chmod "$3" "$new" ;;
    esac && mv -f "$new" "$to"
  }; then
    rm -f "$new"
    die "cannot write \`$to\`" 'choose a place that is yours with --prefix'
  fi
}

install_all() {
  if [ -n "$archive" ]; then
    from_archive
  elif [ -n "$here" ] && [ -f "$here/Cargo.toml" ]; then
    from_checkout
  elif [ -n "$here" ] && [ -f "$here/SHA256SUMS" ]; then
    from_unpacked
  else
    die 'this is neither a checkout nor an unpacked release' 'give a release archive with --archive'
  fi
  if [ -z "$dry" ] && [ -z "$DESTDIR" ]; then
    "$program" --version >/dev/null 2>&1 || die "\`$program\` does not run on this machine; nothing was installed"
  fi
  [ -n "$stage" ] || make_stage
  list=$stage/list made=$stage/made
  : >"$made"
  # A helper that is not ours is somebody's work: it stays.
  helper=$prefix/bin/coordination_helper.sh
  list_files >"$list"
  if is_there "$DESTDIR$helper" && ! is_ours "$helper"; then
    warn "\`$DESTDIR$helper\` is not ours: it stays as it is"
    grep -v '^-> ' "$list" >"$list.rest"
    mv "$list.rest" "$list"
  fi
  tab=$(printf '\t')
  while IFS=$tab read -r from to; do
    case $from in
      '-> '*) ;;
      *) [ -f "$from" ] || [ -n "$dry" ] || die "\`$from\` is missing; nothing was installed" ;;
    esac
    if is_there "$DESTDIR$prefix/$to" && ! is_ours "$prefix/$to"; then
      die "\`$DESTDIR$prefix/$to\` is there already and was not installed by this script; nothing was installed" \
        'remove it, or choose another place with --prefix'
    fi
  done <"$list"
  while IFS=$tab read -r from to; do
    make_dir "$(dirname "$prefix/$to")"
  done <"$list"
  make_dir "$prefix/share/coord"
  [ -n "$dry" ] || write_receipt
  while IFS=$tab read -r from to; do
    case $to in
      bin/coord) mode=755 ;;
      *) mode=644 ;;
    esac
    put "$from" "$to" "$mode"
  done <"$list"
  [ -z "$dry" ] || return 0
  say "installed $DESTDIR$prefix/bin/coord"
  [ -z "$DESTDIR" ] || return 0
  case :$PATH: in
    *:"$prefix/bin":*) ;;
    *)
      say "\`$prefix/bin\` is not in your PATH; this line in your shell's start-up file adds it:"
      say "  export PATH=\"$prefix/bin:\$PATH\""
      ;;
  esac
}

# It is written before the files, so that an installation that was broken off can be removed.
write_receipt() {
  {
    echo 'coord installed these; install.sh --uninstall removes them'
    if [ -f "$receipt" ]; then
      grep '^D ' "$receipt" || true
    fi
    cat "$made"
    cut -f 2 "$list" | while read -r to; do
      printf 'F %s\n' "$prefix/$to"
    done
  } >"$stage/receipt"
  if [ -f "$receipt" ]; then
    # What an earlier version had and this one has not.
    grep '^F ' "$receipt" | grep -vxF -f "$stage/receipt" | while read -r _ path; do
      remove "$path"
    done || true
  fi
  if ! { cp "$stage/receipt" "$receipt.new" && mv -f "$receipt.new" "$receipt"; }; then
    die "cannot write \`$receipt\`" 'choose a place that is yours with --prefix'
  fi
}

# Removes a file of the receipt, which may only name files below the prefix.
remove() {
  case $1 in
    *..*) die "the receipt names \`$1\`" ;;
    "$prefix"/*) ;;
    *) die "the receipt names \`$1\`, which is not below \`$prefix\`" ;;
  esac
  is_there "$DESTDIR$1" || return 0
  if [ -n "$dry" ]; then
    say "would remove $DESTDIR$1"
  else
    rm -f "$DESTDIR$1" || die "cannot remove \`$DESTDIR$1\`"
  fi
}

uninstall() {
  [ -f "$receipt" ] || die "nothing is installed here: there is no \`$receipt\`" 'give the --prefix of the installation'
  make_stage
  grep '^F ' "$receipt" >"$stage/files" || true
  grep '^D ' "$receipt" | sed '1!G;h;$!d' >"$stage/dirs" || true
  while read -r _ path; do
    remove "$path"
  done <"$stage/files"
  remove "$prefix/share/coord/receipt"
  [ -z "$dry" ] || return 0
  # Directories that hold something else by now stay.
  while read -r _ path; do
    rmdir "$DESTDIR$path" 2>/dev/null || true
  done <"$stage/dirs"
  say "removed what was installed in $DESTDIR$prefix"
}

main() {
  set -eu
  umask 022
  prefix='' archive='' sum='' program='' action=install dry='' quiet='' stage='' files=''
  DESTDIR=${DESTDIR:-}
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix | --archive | --sha256 | --bin)
        [ -n "${2:-}" ] || die "\`$1\` lacks its value"
        case $1 in
          --prefix) prefix=$2 ;;
          --archive) archive=$2 ;;
          --sha256) sum=$2 ;;
          --bin) program=$2 ;;
        esac
        shift
        ;;
      --prefix=*) prefix=${1#*=} ;;
      --archive=*) archive=${1#*=} ;;
      --sha256=*) sum=${1#*=} ;;
      --bin=*) program=${1#*=} ;;
      --uninstall) action=uninstall ;;
      --dry-run) dry=1 ;;
      --quiet | -q) quiet=1 ;;
      --help | -h)
        usage
        return
        ;;
      *)
        usage >&2
        die "unexpected argument \`$1\`"
        ;;
    esac
    shift
  done
  if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then
      prefix=/usr/local
    elif [ -n "${HOME:-}" ]; then
      prefix=$HOME/.local
    else
      die 'HOME is not set' 'say where to install with --prefix'
    fi
  fi
  [ -z "$sum" ] || [ -n "$archive" ] || die '--sha256 goes with --archive'
  case $prefix in
    *"
"* | *..*) die "\`$prefix\` cannot be a prefix" 'give a path without .. and line breaks' ;;
    /*) ;;
    *) prefix=$PWD/$prefix ;;
  esac
  prefix=${prefix%/}
  [ -n "$prefix" ] || die 'the root directory cannot be a prefix' 'give another --prefix'
  receipt=$DESTDIR$prefix/share/coord/receipt
  here=
  case $0 in
    */* | install.sh) here=$(cd "$(dirname "$0")" && pwd) ;;
  esac
  case $action in
    install) install_all ;;
    uninstall) uninstall ;;
  esac
}

# The braces keep a shell from running a part of this line.
{ main "$@"; }
