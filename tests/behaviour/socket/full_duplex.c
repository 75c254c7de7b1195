// One socket, a reading and a writing thread at each end, and several threads that read from the same
// descriptor: every record goes to exactly one of them.
#include "loopback.h"

enum { size = 2 << 20, readers = 10, records = 2000 };

static int ends[2];
static int seen[records];

static void* write_much(void* argument) {
  static unsigned char zeros[65536];
  for (int sent = 0; sent < size; sent += (int)sizeof zeros) {
    send_all(*(int*)argument, zeros, sizeof zeros);
  }
  return NULL;
}

static void* read_much(void* argument) {
  char* buffer = (char*)malloc(size);
  CHECK(buffer != NULL && read_all(*(int*)argument, buffer, size) == size);
  free(buffer);
  return NULL;
}

static void both_directions(void) {
  pthread_t thread[4];
  for (int side = 0; side < 2; ++side) {
    thread[2 * side] = start_thread(write_much, &ends[side]);
    thread[2 * side + 1] = start_thread(read_much, &ends[side]);
  }
  for (int i = 0; i < 4; ++i) join_thread(thread[i]);
}

static void* read_records(void* argument) {
  for (;;) {
    int record;
    ssize_t count = recv(ends[0], &record, sizeof record, 0);
    if (count == 0) return argument;
    CHECK(count == sizeof record && record >= 0 && record < records);
    CHECK(__atomic_add_fetch(&seen[record], 1, __ATOMIC_SEQ_CST) == 1);
  }
}

static void* write_records(void* argument) {
  for (int record = (int)(intptr_t)argument; record < records; record += 4) {
    CHECK(send(ends[1], &record, sizeof record, 0) == sizeof record);
  }
  return NULL;
}

static void several_readers(void) {
  pthread_t reader[readers], writer[4];
  for (int i = 0; i < readers; ++i) reader[i] = start_thread(read_records, NULL);
  for (int i = 0; i < 4; ++i) writer[i] = start_thread(write_records, number_pointer(i));
  for (int i = 0; i < 4; ++i) join_thread(writer[i]);
  CHECK(shutdown(ends[1], SHUT_WR) == 0);
  for (int i = 0; i < readers; ++i) join_thread(reader[i]);
  for (int record = 0; record < records; ++record) CHECK(seen[record] == 1);
}

int main(void) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  both_directions();
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  SAY("both directions at once");
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  several_readers();
  SAY("%d records, each read once", records);
  return 0;
}
