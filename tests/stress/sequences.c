// Plays a random sequence of socket, pipe and poll operations by several threads, from a seed, and checks
// every answer against a model of what any order of the threads may give natively. An ordinary program: run
// natively, it tests the model; preloaded, the library.
//
//   sequences SEED STEPS THREADS
//
// The threads share CHANNELS channels, each a pipe, a unix stream, a unix datagram or seqpacket pair, or a
// TCP connection. Every record is 16 bytes: channel, generation, writer, the writer's count, and a check
// word.
//
// The model, per channel and generation (a channel is closed and made anew now and then):
//   - records of one writer come in the order in which it wrote them, each at most once, and none of another
//   channel
//     or generation: no byte crosses between descriptors whose number was used again;
//   - at the end, when all have stopped and the rest has been read, each written record has been read once,
//   unless its
//     channel was closed meanwhile;
//   - an operation's result is one of those that its man page allows in the state that the channel may be in:
//   data, 0
//     only after the writing end was shut, EAGAIN only where it was asked for or after a time-out, EPIPE or
//     ECONNRESET only after the reading end was closed; poll gives POLLIN only if a read would not block, and
//     so on.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CHANNELS 6
#define MOST_THREADS 16
#define RECORD 16

#define CHECK(expression)                                                                                \
  ((expression)                                                                                          \
       ? (void)0                                                                                         \
       : (dprintf(2, "seed %u: %s:%d: %s (errno %d)\n", g_seed, __FILE__, __LINE__, #expression, errno), \
          _exit(1)))

enum kind { kPipe, kStream, kDatagram, kRecords, kTcp, kKinds };

struct record {
  uint16_t channel, writer;
  uint32_t generation;
  uint32_t count;
  uint32_t check;
};

// A channel's descriptors are used under `use` (shared) and replaced under it (exclusive): natively too, a
// program must not close what another thread is about to use. Threads that block do so with a time limit, so
// that replacing waits for them but not for ever. Readers of byte streams take turns (`turn`), or pieces of a
// record would be mixed.
struct channel {
  pthread_rwlock_t use;
  pthread_mutex_t turn, write_turn;
  enum kind kind;
  uint32_t generation;
  int in, out;
  atomic_uint written[MOST_THREADS], read[MOST_THREADS];
  unsigned lost;  // replaced while records were in it
  char partial[RECORD];
  size_t partial_length;
};

static struct channel g_channels[CHANNELS];
static unsigned g_seed, g_steps, g_threads;
static atomic_ulong g_total_written, g_total_read, g_total_lost;

static uint32_t random_below(uint64_t* state, uint32_t limit) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % limit;
}

static uint32_t check_word(const struct record* record) {
  return (record->channel * 31u + record->writer * 131u + record->generation * 1009u +
          record->count * 2654435761u) ^
         0x5bd1e995u;
}

static void limit_time(int descriptor) {
  struct timeval time = {0, 20000};
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
}

static void connect_pair(int* descriptors) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0 && bind(listener, (struct sockaddr*)&address, length) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (struct sockaddr*)&address, &length) == 0);
  descriptors[1] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(descriptors[1], (struct sockaddr*)&address, sizeof address) == 0);
  descriptors[0] = accept(listener, NULL, NULL);
  CHECK(descriptors[0] >= 0 && close(listener) == 0);
}

static void make(struct channel* channel, enum kind kind) {
  static const int types[] = {0, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  int descriptors[2];
  channel->kind = kind;
  if (kind == kPipe) {
    CHECK(pipe(descriptors) == 0);
  } else if (kind == kTcp) {
    connect_pair(descriptors);
  } else {
    CHECK(socketpair(AF_UNIX, types[kind], 0, descriptors) == 0);
  }
  if (kind != kPipe) {
    limit_time(descriptors[0]);
    limit_time(descriptors[1]);
  }
  channel->in = descriptors[0];
  channel->out = descriptors[1];
  channel->partial_length = 0;
  for (unsigned i = 0; i < MOST_THREADS; ++i) {
    atomic_store(&channel->written[i], 0);
    atomic_store(&channel->read[i], 0);
  }
}

static int keeps_records(enum kind kind) {
  return kind == kDatagram || kind == kRecords;
}

static void take_record(struct channel* channel, const char* bytes) {
  struct record record;
  memcpy(&record, bytes, RECORD);
  CHECK(record.check == check_word(&record) && "a whole record");
  CHECK(record.channel == channel - g_channels && record.generation == channel->generation &&
        "of this channel");
  unsigned expected = atomic_fetch_add(&channel->read[record.writer], 1);
  CHECK(record.count == expected && "in its writer's order, once");
  atomic_fetch_add(&g_total_read, 1);
}

static void take_bytes(struct channel* channel, const char* bytes, size_t length) {
  while (length > 0) {
    size_t part = RECORD - channel->partial_length < length ? RECORD - channel->partial_length : length;
    memcpy(channel->partial + channel->partial_length, bytes, part);
    channel->partial_length += part;
    bytes += part;
    length -= part;
    if (channel->partial_length == RECORD) {
      channel->partial_length = 0;
      take_record(channel, channel->partial);
    }
  }
}

// With the reading turn. How: 0 read, 1 recv, 2 recv with MSG_DONTWAIT, 3 poll then read, 4 select then read,
// 5 epoll then read. A pipe is only read after poll, or a reader might wait for ever with the channel in use.
static void read_some(struct channel* channel, unsigned how, size_t wanted, int patience) {
  char bytes[8 * RECORD];
  int ready = 1;
  if (channel->kind == kPipe && (how < 3 || how > 5)) how = 3;
  if (how == 3) {
    struct pollfd entry = {channel->in, POLLIN, 0};
    ready = poll(&entry, 1, patience);
    CHECK(ready >= 0 && (ready == 0 || entry.revents == POLLIN));
  } else if (how == 4) {
    fd_set set;
    struct timeval time = {0, patience * 1000};
    FD_ZERO(&set);
    FD_SET(channel->in, &set);
    ready = select(channel->in + 1, &set, NULL, NULL, &time);
    CHECK(ready >= 0 && ready == (FD_ISSET(channel->in, &set) ? 1 : 0));
  } else if (how == 5) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7};
    CHECK(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, channel->in, &event) == 0);
    ready = epoll_wait(set, &event, 1, patience);
    CHECK(ready >= 0 && (ready == 0 || (event.events == EPOLLIN && event.data.u32 == 7)));
    CHECK(close(set) == 0);
  }
  if (ready == 0) return;
  if (keeps_records(channel->kind)) wanted = RECORD;
  ssize_t count = how == 1   ? recv(channel->in, bytes, wanted, 0)
                  : how == 2 ? recv(channel->in, bytes, wanted, MSG_DONTWAIT)
                             : read(channel->in, bytes, wanted);
  if (count < 0) {
    CHECK(errno == EAGAIN && how < 3 && "only a time-out, or asked for");
    return;
  }
  CHECK(count > 0 && (size_t)count <= wanted && "no end: the writing end is open");
  CHECK(!keeps_records(channel->kind) || count == RECORD);
  take_bytes(channel, bytes, (size_t)count);
}

// With the writing turn, where records must not be mixed. A record goes whole or, after a time-out, in part:
// then the rest follows.
static void write_one(struct channel* channel, unsigned writer, unsigned how) {
  struct record record = {.channel = (uint16_t)(channel - g_channels),
                          .writer = (uint16_t)writer,
                          .generation = channel->generation,
                          .count = atomic_load(&channel->written[writer])};
  record.check = check_word(&record);
  if (channel->kind == kPipe) {
    struct pollfd entry = {channel->out, POLLOUT, 0};
    int ready = poll(&entry, 1, 20);
    CHECK(ready >= 0 && (ready == 0 || entry.revents == POLLOUT));
    if (ready == 0) return;
  }
  size_t done = 0;
  while (done < RECORD) {
    const char* rest = (const char*)&record + done;
    struct iovec parts[2] = {
        {(void*)(uintptr_t)rest, (RECORD - done) / 2},
        {(void*)(uintptr_t)(rest + (RECORD - done) / 2), RECORD - done - (RECORD - done) / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t count = channel->kind == kPipe || how == 0 ? write(channel->out, rest, RECORD - done)
                    : how == 1                         ? send(channel->out, rest, RECORD - done, MSG_NOSIGNAL)
                               : sendmsg(channel->out, &message, how == 2 ? MSG_DONTWAIT : 0);
    if (count < 0) {
      CHECK(errno == EAGAIN);
      if (done == 0) return;  // full
      continue;
    }
    CHECK(count > 0);
    done += (size_t)count;
  }
  atomic_fetch_add(&channel->written[writer], 1);
  atomic_fetch_add(&g_total_written, 1);
}

// Closed and made anew, with the numbers that are free: mostly those of another channel a moment ago. Both
// turns are free since nobody uses the channel.
static void replace(struct channel* channel, unsigned how, enum kind kind) {
  for (unsigned i = 0; i < g_threads; ++i)
    atomic_fetch_add(&g_total_lost, atomic_load(&channel->written[i]) - atomic_load(&channel->read[i]));
  if (how == 0) {
    CHECK(close(channel->out) == 0);
    char bytes[RECORD];
    ssize_t count = channel->kind == kDatagram ? 0 : read(channel->in, bytes, RECORD);
    CHECK(count >= 0 && "what is left, or the end");
    CHECK(close(channel->in) == 0);
  } else if (how == 1 && channel->kind != kPipe) {
    CHECK(shutdown(channel->out, SHUT_RDWR) == 0 && close(channel->in) == 0);
    CHECK(send(channel->out, "x", 1, MSG_NOSIGNAL) == -1 && (errno == EPIPE || errno == ECONNRESET));
    CHECK(close(channel->out) == 0);
  } else {
    int null = open("/dev/null", O_RDWR);
    CHECK(dup2(null, channel->in) == channel->in && close(channel->in) == 0);
    CHECK(dup2(null, channel->out) == channel->out && write(channel->out, "x", 1) == 1);
    CHECK(close(channel->out) == 0 && close(null) == 0);
  }
  ++channel->generation;
  make(channel, kind);
}

static void* play(void* argument) {
  unsigned self = (unsigned)(uintptr_t)argument;
  uint64_t state = g_seed * 7919u + self * 104729u + 1;
  for (unsigned step = 0; step < g_steps; ++step) {
    struct channel* channel = &g_channels[random_below(&state, CHANNELS)];
    uint32_t what = random_below(&state, 100), how = random_below(&state, 6);
    size_t wanted = 1 + random_below(&state, 8 * RECORD);
    if (what < 2) {
      CHECK(pthread_rwlock_wrlock(&channel->use) == 0);
      replace(channel, how % 3, (enum kind)random_below(&state, kKinds));
    } else {
      CHECK(pthread_rwlock_rdlock(&channel->use) == 0);
      pthread_mutex_t* turn = what < 52 ? &channel->write_turn : &channel->turn;
      CHECK(pthread_mutex_lock(turn) == 0);
      if (what < 52) {
        write_one(channel, self, how % 4);
      } else {
        read_some(channel, how, wanted, what < 90 ? 1 : 0);
      }
      CHECK(pthread_mutex_unlock(turn) == 0);
    }
    CHECK(pthread_rwlock_unlock(&channel->use) == 0);
  }
  return NULL;
}

static void drain(struct channel* channel) {
  unsigned left;
  do {
    left = 0;
    for (unsigned i = 0; i < g_threads; ++i)
      left += atomic_load(&channel->written[i]) - atomic_load(&channel->read[i]);
    if (left > 0) read_some(channel, 3, 8 * RECORD, 10000);
  } while (left > 0);
  CHECK(channel->partial_length == 0);
  struct pollfd entry = {channel->in, POLLIN, 0};
  CHECK(poll(&entry, 1, 0) == 0 && "nothing was there twice");
  CHECK(close(channel->in) == 0 && close(channel->out) == 0);
}

static void* drain_all(void* argument) {
  for (unsigned i = 0; i < CHANNELS; ++i) drain(&g_channels[i]);
  return argument;
}

int main(int count, char** arguments) {
  if (count != 4) return 2;
  g_seed = (unsigned)strtoul(arguments[1], NULL, 10);
  g_steps = (unsigned)strtoul(arguments[2], NULL, 10);
  g_threads = (unsigned)strtoul(arguments[3], NULL, 10);
  if (g_threads < 1 || g_threads > MOST_THREADS) return 2;
  pthread_t threads[MOST_THREADS];
  int lowest = dup(0);
  CHECK(close(lowest) == 0);
  for (unsigned i = 0; i < CHANNELS; ++i) {
    CHECK(pthread_rwlock_init(&g_channels[i].use, NULL) == 0 &&
          pthread_mutex_init(&g_channels[i].turn, NULL) == 0);
    CHECK(pthread_mutex_init(&g_channels[i].write_turn, NULL) == 0);
    make(&g_channels[i], (enum kind)((i + g_seed) % kKinds));
  }
  for (unsigned i = 0; i < g_threads; ++i)
    CHECK(pthread_create(&threads[i], NULL, play, (void*)(uintptr_t)i) == 0);
  for (unsigned i = 0; i < g_threads; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(pthread_create(&threads[0], NULL, drain_all, NULL) == 0 && pthread_join(threads[0], NULL) == 0);
  CHECK(atomic_load(&g_total_written) == atomic_load(&g_total_read) + atomic_load(&g_total_lost));
  CHECK(dup(0) == lowest && "no descriptor is left");
  printf("%lu written, %lu read, %lu lost with their channels\n", atomic_load(&g_total_written),
         atomic_load(&g_total_read), atomic_load(&g_total_lost));
  return 0;
}
