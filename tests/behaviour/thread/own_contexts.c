// A program with coroutines of its own (makecontext(3), as Boost.Fiber, greenlet and Ruby have theirs): 100
// of them on 8 threads, taken by whichever thread is free, so each goes on in other threads than it began in.
// They sleep, read and lock on their own stacks; errno and thread-local variables are the thread's they are
// on.
#include "check.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>

#define CONTEXTS 100
#define THREADS 8
#define STEPS 20
#define STACK 65536

struct context {
  ucontext_t own, *thread;
  int number, step, sockets[2];
  struct context* next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct context contexts[CONTEXTS], *first, **last = &first;
static int ended;
static __thread intptr_t thread_number;

static void push(struct context* context) {
  context->next = NULL;
  *last = context;
  last = &context->next;
}

static void give_way(struct context* context) {
  CHECK(swapcontext(&context->own, context->thread) == 0);
}

static void body(int number) {
  struct context* self = &contexts[number];
  volatile char bytes[3000];
  memset((void*)bytes, number, sizeof bytes);
  for (self->step = 0; self->step < STEPS; ++self->step) {
    char sent = (char)self->step, received = -1;
    nap((number * 37 + self->step) % 4);
    CHECK(write(self->sockets[0], &sent, 1) == 1);
    CHECK(read(self->sockets[1], &received, 1) == 1 && received == sent);
    CHECK_ERRNO(read(-1, &received, 1), EBADF);
    for (size_t i = 0; i < sizeof bytes; ++i) CHECK(bytes[i] == (char)number);
    give_way(self);
  }
  self->step = -1;
  give_way(self);
  CHECK(0 && "resumed after its end");
}

static struct context* take(void) {
  while (first == NULL && ended < CONTEXTS) pthread_cond_wait(&changed, &mutex);
  struct context* context = first;
  if (context != NULL && (first = context->next) == NULL) last = &first;
  return context;
}

static void* run(void* number) {
  ucontext_t here;
  thread_number = (intptr_t)number;
  pthread_mutex_lock(&mutex);
  for (struct context* context; (context = take()) != NULL;) {
    pthread_mutex_unlock(&mutex);
    context->thread = &here;
    CHECK(swapcontext(&here, &context->own) == 0);
    CHECK(thread_number == (intptr_t)number);
    pthread_mutex_lock(&mutex);
    if (context->step == -1) {
      ++ended;
    } else {
      push(context);
    }
    pthread_cond_broadcast(&changed);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void prepare(int number) {
  struct context* context = &contexts[number];
  context->number = number;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, context->sockets) == 0);
  CHECK(getcontext(&context->own) == 0);
  context->own.uc_stack.ss_size = STACK;
  context->own.uc_stack.ss_sp = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(context->own.uc_stack.ss_sp != MAP_FAILED);
  makecontext(&context->own, (void (*)(void))body, 1, number);
  push(context);
}

int main(void) {
  for (int i = 0; i < CONTEXTS; ++i) prepare(i);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(run, number_pointer(i));
  for (int i = 0; i < THREADS; ++i) join_thread(threads[i]);
  CHECK(ended == CONTEXTS);
  SAY("all contexts have ended");
  return 0;
}
