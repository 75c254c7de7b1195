#!/usr/bin/env bash
# Formatting and lint of the product's sources. `tests/lint.sh --fix` formats in place.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in clang-format clang-tidy; do
  command -v $tool >/dev/null || { echo "tests/lint.sh: install the package $tool" >&2; exit 1; }
done
mapfile -t sources < <(git ls-files '*.cpp' '*.h' '*.c')
if [ "${1:-}" = --fix ]; then
  clang-format -i "${sources[@]}"
else
  clang-format --dry-run -Werror "${sources[@]}"
fi
[ -f build/compile_commands.json ] || cmake -B build >/dev/null
mapfile -t library < <(git ls-files 'runtime/*.cpp' 'preload/*.cpp' 'tools/*.cpp')
clang-tidy -p build --quiet "${library[@]}"
