// libev loops in created threads, one with each way that the kernel has to wait (select, poll, epoll, Linux
// AIO, io_uring): timers, a socket that is echoed, and ev_async_send(3) from other threads.
#include "check.h"

#include <ev.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { threads = 10, ticks = 10, messages = 50, wakes = 20 };

struct state {
  struct ev_loop* loop;
  ev_timer timer;
  ev_io asks, answers;
  ev_async wake;
  int ends[2];
  int ticked, answered, done;
  char seen;
  atomic_int asked_to_wake, woken;
};

static struct state states[threads];
static const unsigned backends[] = {EVBACKEND_SELECT, EVBACKEND_POLL, EVBACKEND_EPOLL, EVBACKEND_LINUXAIO,
                                    EVBACKEND_IOURING};

static void end_if_done(struct state* state) {
  if (state->ticked < ticks || state->answered < messages || atomic_load(&state->woken) == 0) return;
  state->done = 1;
  ev_break(state->loop, EVBREAK_ALL);
}

static void on_tick(struct ev_loop* loop, ev_timer* timer, int events) {
  (void)events;
  struct state* state = timer->data;
  if (++state->ticked == ticks) ev_timer_stop(loop, timer);
  end_if_done(state);
}

// The other end: what comes goes back.
static void on_question(struct ev_loop* loop, ev_io* io, int events) {
  (void)loop, (void)events;
  char byte;
  CHECK(read(io->fd, &byte, 1) == 1 && write(io->fd, &byte, 1) == 1);
}

static void on_answer(struct ev_loop* loop, ev_io* io, int events) {
  (void)events;
  struct state* state = io->data;
  char byte;
  CHECK(read(io->fd, &byte, 1) == 1 && byte == state->seen);
  ++state->seen;
  if (++state->answered < messages) {
    CHECK(write(io->fd, &state->seen, 1) == 1);
  } else {
    ev_io_stop(loop, io);
  }
  end_if_done(state);
}

static void on_wake(struct ev_loop* loop, ev_async* wake, int events) {
  (void)loop, (void)events;
  struct state* state = wake->data;
  if (atomic_load(&state->asked_to_wake) < wakes) return;
  atomic_store(&state->woken, 1);
  end_if_done(state);
}

static void* run_loop(void* argument) {
  struct state* state = argument;
  ev_timer_init(&state->timer, on_tick, 0.001, 0.002);
  ev_io_init(&state->asks, on_question, state->ends[0], EV_READ);
  ev_io_init(&state->answers, on_answer, state->ends[1], EV_READ);
  state->timer.data = state->asks.data = state->answers.data = state;
  ev_timer_start(state->loop, &state->timer);
  ev_io_start(state->loop, &state->asks);
  ev_io_start(state->loop, &state->answers);
  CHECK(write(state->ends[1], &state->seen, 1) == 1);
  ev_run(state->loop, 0);
  CHECK(state->done && state->ticked == ticks && state->answered == messages);
  return NULL;
}

static void* wake_them(void* unused) {
  (void)unused;
  for (int i = 0; i < wakes; ++i) {
    for (int number = 0; number < threads; ++number) {
      struct state* state = &states[number];
      atomic_fetch_add(&state->asked_to_wake, 1);
      ev_async_send(state->loop, &state->wake);
    }
    nap(1);
  }
  return NULL;
}

int main(void) {
  for (int i = 0; i < threads; ++i) {
    struct state* state = &states[i];
    unsigned backend = backends[i % (sizeof(backends) / sizeof(backends[0]))];
    // What this library or kernel lacks is done by epoll.
    state->loop = ev_loop_new(backend);
    if (state->loop == NULL) state->loop = ev_loop_new(EVBACKEND_EPOLL);
    CHECK(state->loop != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, state->ends) == 0);
    ev_async_init(&state->wake, on_wake);
    state->wake.data = state;
    ev_async_start(state->loop, &state->wake);
  }
  pthread_t loop_threads[threads], waker;
  for (int i = 0; i < threads; ++i) loop_threads[i] = start_thread(run_loop, &states[i]);
  waker = start_thread(wake_them, NULL);
  join_thread(waker);
  for (int i = 0; i < threads; ++i) join_thread(loop_threads[i]);
  for (int i = 0; i < threads; ++i) ev_loop_destroy(states[i].loop);
  SAY("%d loops: every timer, answer and wake-up", threads);
  return 0;
}
