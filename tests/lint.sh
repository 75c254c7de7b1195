#!/usr/bin/env bash
# Formatting and lint of the project's sources.
#   tests/lint.sh            both (clang-tidy takes minutes)
#   tests/lint.sh --format   formatting only
#   tests/lint.sh --fix      formats in place
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null || { echo "tests/lint.sh: install the package $1" >&2; exit 1; }
}

need clang-format
mapfile -t sources < <(git ls-files '*.cpp' '*.h' '*.c')
case "${1:-}" in
  --fix) clang-format -i "${sources[@]}"; exit ;;
  --format) clang-format --dry-run -Werror "${sources[@]}"; exit ;;
  '') clang-format --dry-run -Werror "${sources[@]}" ;;
  *) echo "tests/lint.sh: unknown option $1 (--format, --fix)" >&2; exit 2 ;;
esac

need clang-tidy
[ -f build/compile_commands.json ] || cmake -B build >/dev/null
git ls-files 'runtime/*.cpp' 'preload/*.cpp' 'tools/*.cpp' | xargs -P "$(nproc)" -n 4 clang-tidy -p build --quiet
