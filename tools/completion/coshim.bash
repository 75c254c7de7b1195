# bash completion for coshim(1)

# Processes of ours that have the library mapped.
_coshim_pids() {
  local maps pid
  for maps in /proc/[0-9]*/maps; do
    pid=${maps#/proc/}
    grep -qs '/libcoshim\.so' "$maps" && echo "${pid%/maps}"
  done
}

_coshim_variables() {
  command coshim env 2>/dev/null | sed -n 's/^COSHIM_\([A-Z_]*\) .*/\1/p'
}

_coshim() {
  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words='' i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W 'run dump top stats check env version help' -- "$current")
    return
  fi
  case $command in
    help) words='run dump top stats check env' ;;
    dump) words='--json --full --output --timeout --help' ;;
    top) words='--interval --once --json --help' ;;
    stats) words='--json --prometheus --label --help' ;;
    check) words='--json --help' ;;
    env) words='--meaning --json --help' ;;
    run) words="--quiet --print --help $(_coshim_variables | tr 'A-Z_' 'a-z-' | sed 's/^/--/')" ;;
    *) return ;;
  esac
  if [ "$command" = run ]; then
    # From the program on its own completion.
    for ((i = 2; i < COMP_CWORD; ++i)); do
      case ${COMP_WORDS[i]} in
        --) ((++i)) ;;
        -* | *=*) continue ;;
        *) case ${COMP_WORDS[i - 1]} in --quiet | --print | -q | -n) ;; --*) continue ;; esac ;;
      esac
      if declare -F _command_offset >/dev/null && [ "$i" -lt "$COMP_CWORD" ]; then
        _command_offset "$i"
        return
      fi
      break
    done
  fi
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    return
  fi
  case $command in
    dump | top | stats | env) mapfile -t COMPREPLY < <(compgen -W "$(_coshim_pids)" -- "$current") ;;
    check | run) mapfile -t COMPREPLY < <(compgen -c -- "$current"; compgen -f -- "$current") ;;
    help) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
}

complete -F _coshim -o filenames coshim
