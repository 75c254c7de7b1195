// libuv loops in created threads: each has timers, a TCP echo server with its clients, and is woken by other
// threads with uv_async_send(3); work goes to libuv's pool of threads, and one loop starts a process.
#include "check.h"

#include <stdatomic.h>
#include <uv.h>

enum { loops = 12, ticks = 10, wakes = 50, jobs = 6 };

struct state {
  uv_loop_t loop;
  uv_async_t wake;
  uv_timer_t timer;
  uv_tcp_t server, client, accepted;
  uv_connect_t connect;
  uv_write_t ask, answer;
  uv_process_t process;
  uv_work_t work[jobs];
  atomic_int asked_to_wake;
  int number, ticked, woken, worked, after, echoed, exited;
  char buffer[64], reply[64];
};

static struct state states[loops];
static atomic_int ready;

static void close_if_done(struct state* state) {
  if (state->ticked < ticks || !state->woken || state->after < jobs || !state->echoed || !state->exited)
    return;
  uv_close((uv_handle_t*)&state->wake, NULL);
  uv_close((uv_handle_t*)&state->server, NULL);
  uv_close((uv_handle_t*)&state->client, NULL);
  uv_close((uv_handle_t*)&state->accepted, NULL);
}

static void on_wake(uv_async_t* handle) {
  struct state* state = handle->data;
  if (atomic_load(&state->asked_to_wake) < wakes || state->woken) return;
  state->woken = 1;
  close_if_done(state);
}

static void on_tick(uv_timer_t* handle) {
  struct state* state = handle->data;
  if (++state->ticked < ticks) return;
  uv_close((uv_handle_t*)handle, NULL);
  close_if_done(state);
}

static void do_work(uv_work_t* work) {
  nap(5);
  __atomic_fetch_add(&((struct state*)work->data)->worked, 1, __ATOMIC_SEQ_CST);
}

static void after_work(uv_work_t* work, int status) {
  struct state* state = work->data;
  CHECK(status == 0);
  ++state->after;
  close_if_done(state);
}

static void allocate(uv_handle_t* handle, size_t size, uv_buf_t* buffer) {
  struct state* state = handle->data;
  (void)size;
  *buffer = handle == (uv_handle_t*)&state->client ? uv_buf_init(state->reply, sizeof state->reply)
                                                   : uv_buf_init(state->buffer, sizeof state->buffer);
}

static void on_answer(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  struct state* state = stream->data;
  CHECK(count == 5 && memcmp(buffer->base, "hello", 5) == 0);
  state->echoed = 1;
  uv_read_stop(stream);
  close_if_done(state);
}

static void on_question(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  struct state* state = stream->data;
  CHECK(count == 5);
  uv_buf_t answer = uv_buf_init(buffer->base, 5);
  uv_read_stop(stream);
  CHECK(uv_write(&state->answer, stream, &answer, 1, NULL) == 0);
}

static void on_connection(uv_stream_t* server, int status) {
  struct state* state = server->data;
  CHECK(status == 0 && uv_accept(server, (uv_stream_t*)&state->accepted) == 0);
  CHECK(uv_read_start((uv_stream_t*)&state->accepted, allocate, on_question) == 0);
}

static void on_connected(uv_connect_t* request, int status) {
  struct state* state = request->data;
  static char text[] = "hello";
  uv_buf_t question = uv_buf_init(text, 5);
  CHECK(status == 0 && uv_write(&state->ask, (uv_stream_t*)&state->client, &question, 1, NULL) == 0);
  CHECK(uv_read_start((uv_stream_t*)&state->client, allocate, on_answer) == 0);
}

static void on_exit_of_child(uv_process_t* process, int64_t status, int number) {
  struct state* state = process->data;
  CHECK(status == 3 && number == 0);
  state->exited = 1;
  uv_close((uv_handle_t*)process, NULL);
  close_if_done(state);
}

static void start_child(struct state* state) {
  static char* const arguments[] = {"/bin/sh", "-c", "exit 3", NULL};
  uv_process_options_t options;
  memset(&options, 0, sizeof options);
  options.file = arguments[0];
  options.args = (char**)arguments;
  options.exit_cb = on_exit_of_child;
  state->process.data = state;
  CHECK(uv_spawn(&state->loop, &state->process, &options) == 0);
}

static void start_sockets(struct state* state) {
  struct sockaddr_in address;
  struct sockaddr_storage bound;
  int length = sizeof bound;
  CHECK(uv_ip4_addr("127.0.0.1", 0, &address) == 0);
  CHECK(uv_tcp_init(&state->loop, &state->server) == 0 && uv_tcp_init(&state->loop, &state->client) == 0);
  CHECK(uv_tcp_init(&state->loop, &state->accepted) == 0);
  state->server.data = state->client.data = state->accepted.data = state->connect.data = state;
  CHECK(uv_tcp_bind(&state->server, (struct sockaddr*)&address, 0) == 0);
  CHECK(uv_listen((uv_stream_t*)&state->server, 4, on_connection) == 0);
  CHECK(uv_tcp_getsockname(&state->server, (struct sockaddr*)&bound, &length) == 0);
  CHECK(uv_tcp_connect(&state->connect, &state->client, (struct sockaddr*)&bound, on_connected) == 0);
}

static void* run_loop(void* argument) {
  struct state* state = argument;
  CHECK(uv_loop_init(&state->loop) == 0);
  CHECK(uv_async_init(&state->loop, &state->wake, on_wake) == 0);
  CHECK(uv_timer_init(&state->loop, &state->timer) == 0);
  state->wake.data = state->timer.data = state;
  CHECK(uv_timer_start(&state->timer, on_tick, 3, 3) == 0);
  start_sockets(state);
  start_child(state);
  for (int i = 0; i < jobs; ++i) {
    state->work[i].data = state;
    CHECK(uv_queue_work(&state->loop, &state->work[i], do_work, after_work) == 0);
  }
  atomic_fetch_add(&ready, 1);
  CHECK(uv_run(&state->loop, UV_RUN_DEFAULT) == 0);
  CHECK(uv_loop_close(&state->loop) == 0);
  return NULL;
}

static void* wake_all(void* argument) {
  while (atomic_load(&ready) < loops) nap(1);
  for (int i = 0; i < wakes; ++i) {
    for (int j = 0; j < loops; ++j) {
      int before = atomic_fetch_add(&states[j].asked_to_wake, 1);
      CHECK(before >= wakes || uv_async_send(&states[j].wake) == 0);
    }
    if (i % 10 == 0) nap(1);
  }
  return argument;
}

int main(void) {
  pthread_t threads[loops];
  for (int i = 0; i < loops; ++i) threads[i] = start_thread(run_loop, &states[i]);
  pthread_t waker = start_thread(wake_all, NULL);
  join_thread(waker);
  for (int i = 0; i < loops; ++i) join_thread(threads[i]);
  for (int i = 0; i < loops; ++i) CHECK(states[i].worked == jobs && states[i].ticked == ticks);
  SAY("%d loops ended", loops);
  return 0;
}
