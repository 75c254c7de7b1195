#!/usr/bin/env bash
# Builds everything and runs the tests: unit, behaviour (native against shim), real servers, conformance (short form).
# On a fresh Debian 12 it installs what is missing (as root or with sudo).
#   tests/run.sh            what CI runs, under 20 minutes
#   tests/run.sh --long     100 repetitions of the behaviour programs, whole conformance suites, all real programs, an hour of stress
#   tests/run.sh --quick    unit and behaviour tests only, one repetition
set -euo pipefail
cd "$(dirname "$0")/.."

repeat=2
seeds=5
waves=200000
labels=''
real=yes
real_form=''
conformance_form=--short
for argument in "$@"; do
  case $argument in
    --long) repeat=100 seeds=300 waves=10000000 conformance_form='' real_form=--long ;;
    --quick) repeat=1 labels='unit|behaviour' real=no ;;
    *) echo "tests/run.sh: unknown option $argument (--long, --quick)" >&2; exit 2 ;;
  esac
done

tests/install.sh g++ cmake make libgtest-dev libunwind-dev libtbb-dev libuv1-dev libev-dev rustc python3 binutils procps gdb tmux groff bash openssl tinyproxy stunnel4 debootstrap lintian strace
[ "$real" = no ] || tests/real/install.sh $real_form

# Connections by the thousand need descriptors.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

cmake -B build -DCMAKE_BUILD_TYPE=Release -DBEHAVIOUR_REPEAT="$repeat" -DSTRESS_SEEDS="$seeds" -DSTRESS_WAVES="$waves" \
  -DCONFORMANCE_FORM="$conformance_form" -DREAL_FORM="$real_form"
cmake --build build -j "$(nproc)"
# What a newcomer runs first.
if [ "$real" = yes ] && ! demo_apps/run.sh --connections 200 --seconds 1 >build/demo.log 2>&1; then
  cat build/demo.log
  exit 1
fi
# What CI keeps of the output shall show what failed, not what passed.
brief() {
  if [ "${CI:-}" = true ]; then grep --line-buffered -vE '^ +Start +[0-9]+: |[.][.] +Passed +[0-9.]+ sec'; else cat; fi
}
# One more than there are processors: most tests wait most of the time.
ctest --test-dir build -j "$(($(nproc) + 1))" --output-on-failure ${labels:+-L "$labels"} | brief

# The long form: the stress programs again, for ten minutes each, with our own invariant checks on.
if [ "$repeat" = 100 ]; then
  cmake --preset debug -DSTRESS_SECONDS=600
  cmake --build --preset debug -j "$(nproc)" --target coshim stress_mix
  ctest --test-dir build-debug -R stress.mix --output-on-failure
fi
