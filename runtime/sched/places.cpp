#include "runtime/sched/places.h"

#include "runtime/config.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

constexpr Nanoseconds kPatience = 1000000000;
constexpr int kFewest = 4;

struct Places {
  std::atomic<int> used{0};
  std::atomic<Nanoseconds> last_change{0};  // a look-up ended, or some were let in beyond the limit
  std::atomic<int> beyond{0};               // how many more may come in beyond the limit
};
Places g_places[3];

Places& places_of(PlaceKind kind) {
  return g_places[static_cast<int>(kind)];
}

bool take_free(Places& places) {
  int used = places.used.load(std::memory_order_seq_cst);
  while (used < g_config.blocking_limit) {
    if (places.used.compare_exchange_weak(used, used + 1, std::memory_order_seq_cst)) return true;
  }
  return false;
}

// Nothing has moved for a while: some more go in.
bool take_beyond(Places& places) {
  Nanoseconds last = places.last_change.load(std::memory_order_relaxed), now = monotonic_now();
  if (now - last >= kPatience && places.last_change.compare_exchange_strong(last, now)) {
    places.beyond.store(g_config.blocking_limit / 4 > kFewest ? g_config.blocking_limit / 4 : kFewest);
    lot_wake(&places, places.beyond.load() - 1);
  }
  int left = places.beyond.load(std::memory_order_relaxed);
  while (left > 0) {
    if (!places.beyond.compare_exchange_weak(left, left - 1)) continue;
    places.used.fetch_add(1, std::memory_order_seq_cst);
    return true;
  }
  return false;
}

}  // namespace

bool try_take_place(PlaceKind kind) {
  if (!take_free(places_of(kind))) return false;
  current_coroutine()->place = kind;
  return true;
}

void take_place(PlaceKind kind) {
  if (try_take_place(kind)) return;
  Places& places = places_of(kind);
  {
    LotWaiter waiter(&places, WaitKind::place);
    for (;;) {
      waiter.enqueue();
      if (take_free(places) || take_beyond(places)) break;
      waiter.wait(places.last_change.load(std::memory_order_relaxed) + kPatience);
    }
  }
  current_coroutine()->place = kind;
}

void leave_place(Coroutine* coroutine) {
  if (coroutine->place == PlaceKind::none) return;
  Places& places = places_of(coroutine->place);
  bool queued = coroutine->place == PlaceKind::names;
  coroutine->place = PlaceKind::none;
  if (queued) {
    places.last_change.store(monotonic_now(), std::memory_order_relaxed);
    places.beyond.store(0, std::memory_order_relaxed);
  }
  places.used.fetch_sub(1, std::memory_order_seq_cst);
  if (queued && lot_has_waiters(&places)) lot_wake(&places, 1);
}

void places_reset_after_fork() {
  for (Places& places : g_places) {
    places.used.store(0);
    places.beyond.store(0);
  }
}

}  // namespace coshim
