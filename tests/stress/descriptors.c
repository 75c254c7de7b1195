// Random orders of pipe, dup, dup2, dup3, fcntl, close, close_range, poll, select, read and fork by several
// threads, from a seed; after every step each descriptor must be what the model says, by the kernel's own
// answer. Run natively it tests the model.
//
//   descriptors SEED STEPS THREADS
//
// Each thread has a range of numbers of its own, in which only it opens and closes, so the model is exact;
// the table under them is everybody's. What a number stands for is a pipe's reading end, or nothing. A byte
// comes from the thread's partner, later, so that reads and polls wait.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { pipes = 4, numbers = 24, most_threads = 16, first_number = 200 };

struct player {
  uint64_t random;
  int base, model[numbers];  // which pipe, or -1
  int in[pipes], out[pipes];
  ino_t inode[pipes];
  int order[2];  // to the partner: which pipe
  unsigned steps;
};

static unsigned below(struct player* player, unsigned bound) {
  player->random = player->random * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(player->random >> 33) % bound;
}

static void verify(const struct player* player, int slot) {
  struct stat status;
  int descriptor = player->base + slot, which = player->model[slot];
  struct pollfd entry = {descriptor, POLLIN, 0};
  if (which < 0) {
    char byte;
    CHECK_ERRNO(fstat(descriptor, &status), EBADF);
    CHECK_ERRNO(read(descriptor, &byte, 1), EBADF);
    CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLNVAL);
  } else {
    CHECK(fstat(descriptor, &status) == 0 && status.st_ino == player->inode[which]);
    CHECK(poll(&entry, 1, 0) == 0);
  }
}

static int pick_open(struct player* player) {
  int slot = (int)below(player, numbers);
  for (int i = 0; i < numbers; ++i)
    if (player->model[(slot + i) % numbers] >= 0) return (slot + i) % numbers;
  return -1;
}

static void set(struct player* player, int slot) {
  int which = (int)below(player, pipes), descriptor = player->base + slot;
  int source = pick_open(player);
  if (source >= 0 && source != slot && below(player, 2) == 0) {
    which = player->model[source];
    CHECK((below(player, 2) == 0 ? dup2(player->base + source, descriptor)
                                 : dup3(player->base + source, descriptor, O_CLOEXEC)) == descriptor);
  } else if (player->model[slot] < 0 && below(player, 2) == 0) {
    CHECK(fcntl(player->in[which], F_DUPFD, descriptor) == descriptor);
  } else {
    CHECK(dup2(player->in[which], descriptor) == descriptor);
  }
  player->model[slot] = which;
}

static void drop(struct player* player, int slot) {
  int count = 1 + (int)below(player, 4);
  if (below(player, 3) != 0) {
    CHECK(close(player->base + slot) == (player->model[slot] >= 0 ? 0 : -1));
    player->model[slot] = -1;
    return;
  }
  if (slot + count > numbers) count = numbers - slot;
  CHECK(close_range((unsigned)(player->base + slot), (unsigned)(player->base + slot + count - 1), 0) == 0);
  for (int i = 0; i < count; ++i) player->model[slot + i] = -1;
}

// The partner's byte arrives through whichever number.
static void wait_for_byte(struct player* player) {
  int slot = pick_open(player);
  if (slot < 0) return;
  int descriptor = player->base + slot;
  char which = (char)player->model[slot], byte = 0;
  CHECK(write(player->order[1], &which, 1) == 1);
  switch (below(player, 3)) {
    case 0: {
      struct pollfd entries[2] = {{descriptor, POLLIN, 0}, {-1, POLLIN, 0}};
      CHECK(poll(entries, 2, -1) == 1 && entries[0].revents == POLLIN);
      break;
    }
    case 1: {
      fd_set readable;
      FD_ZERO(&readable);
      FD_SET(descriptor, &readable);
      CHECK(select(descriptor + 1, &readable, NULL, NULL, NULL) == 1 && FD_ISSET(descriptor, &readable));
      break;
    }
    default:
      break;
  }
  CHECK(read(descriptor, &byte, 1) == 1 && byte == which);
}

static void fork_and_verify(struct player* player) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    for (int slot = 0; slot < numbers; ++slot) verify(player, slot);
    for (int i = 0; i < 10; ++i) set(player, (int)below(player, numbers));
    for (int slot = 0; slot < numbers; ++slot) verify(player, slot);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void* partner(void* argument) {
  struct player* player = argument;
  char which;
  while (read(player->order[0], &which, 1) == 1) {
    if (which % 2 == 0) nap(1);
    CHECK(write(player->out[(int)which], &which, 1) == 1);
  }
  return NULL;
}

static void* play(void* argument) {
  struct player* player = argument;
  pthread_t helper = start_thread(partner, player);
  for (unsigned step = 0; step < player->steps; ++step) {
    unsigned kind = below(player, 64);
    int slot = (int)below(player, numbers);
    if (kind < 26) {
      set(player, slot);
    } else if (kind < 46) {
      drop(player, slot);
    } else if (kind < 63) {
      wait_for_byte(player);
    } else if (below(player, 6) == 0) {
      fork_and_verify(player);
    }
    verify(player, slot);
  }
  for (int slot = 0; slot < numbers; ++slot) {
    verify(player, slot);
    if (player->model[slot] >= 0) CHECK(close(player->base + slot) == 0);
  }
  CHECK(close(player->order[1]) == 0);
  join_thread(helper);
  CHECK(close(player->order[0]) == 0);
  for (int i = 0; i < pipes; ++i) CHECK(close(player->in[i]) == 0 && close(player->out[i]) == 0);
  return NULL;
}

int main(int count, char** arguments) {
  if (count != 4) return 2;
  unsigned seed = (unsigned)strtoul(arguments[1], NULL, 10),
           steps = (unsigned)strtoul(arguments[2], NULL, 10);
  unsigned threads = (unsigned)strtoul(arguments[3], NULL, 10);
  if (threads < 1 || threads > most_threads) return 2;
  struct player* players = calloc(threads, sizeof *players);
  CHECK(players != NULL);
  pthread_t thread[most_threads];
  int lowest = dup(0);
  CHECK(close(lowest) == 0);
  for (unsigned i = 0; i < threads; ++i) {
    struct player* player = &players[i];
    player->random = seed * 1000003ULL + i;
    player->base = first_number + (int)i * numbers;
    player->steps = steps;
    for (int slot = 0; slot < numbers; ++slot) player->model[slot] = -1;
    CHECK(pipe2(player->order, O_CLOEXEC) == 0);
    for (int j = 0; j < pipes; ++j) {
      int ends[2];
      struct stat status;
      CHECK(pipe2(ends, O_CLOEXEC) == 0 && fstat(ends[0], &status) == 0);
      player->in[j] = ends[0];
      player->out[j] = ends[1];
      player->inode[j] = status.st_ino;
    }
  }
  for (unsigned i = 0; i < threads; ++i) thread[i] = start_thread(play, &players[i]);
  for (unsigned i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(dup(0) == lowest);
  free(players);
  return 0;
}
