# What whole-cluster tests in the shell say and wait for; to be sourced. Counts in $passed.
passed=0

# fail WHAT [WANTED GOT]
fail() { echo "FAILED: $1"; [ -z "${2:-}" ] || printf '  wanted: %s\n  got: %s\n' "$2" "$3"; exit 1; }
ok() { passed=$((passed + 1)); echo "ok - $1 (${SECONDS} s)"; }
# same WHAT WANTED GOT, like WHAT PATTERN GOT
same() { [ "$2" = "$3" ] && ok "$1" || fail "$1" "$2" "$3"; }
like() { [[ "$3" =~ $2 ]] && ok "$1" || fail "$1" "$2" "$3"; }
# until_true SECONDS WHAT COMMAND…: waits for a condition with a deadline.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what did not come true"
    sleep 0.05
  done
}
