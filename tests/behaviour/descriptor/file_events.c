// fanotify(7) descriptors: threads that wait in read(2) and poll(2), and one that answers permission events
// while another's open(2) waits for the answer. Skipped (77) where not permitted.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>

static int watch;

static void* open_it(void* argument) {
  int descriptor = open("denied", O_RDONLY);
  CHECK(descriptor == -1);
  CHECK(argument == NULL);
  return number_pointer(errno);
}

static void* answer(void* argument) {
  _Alignas(struct fanotify_event_metadata) char buffer[4096];
  struct pollfd entry = {watch, POLLIN, 0};
  CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLIN);
  ssize_t length = read(watch, buffer, sizeof buffer);
  CHECK(length > 0);
  int answered = 0;
  struct fanotify_event_metadata* event = (void*)buffer;
  for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
    CHECK(event->vers == FANOTIFY_METADATA_VERSION && (event->mask & FAN_OPEN_PERM) != 0);
    struct fanotify_response response = {event->fd, FAN_DENY};
    nap(10);
    CHECK(write(watch, &response, sizeof response) == sizeof response && close(event->fd) == 0);
    ++answered;
  }
  CHECK(argument == NULL);
  return number_pointer(answered);
}

static void* read_closed(void* argument) {
  _Alignas(struct fanotify_event_metadata) char buffer[4096];
  ssize_t length = read((int)(intptr_t)argument, buffer, sizeof buffer);
  CHECK(length >= (ssize_t)sizeof(struct fanotify_event_metadata));
  struct fanotify_event_metadata* event = (void*)buffer;
  CHECK(close(event->fd) == 0);
  return number_pointer((event->mask & FAN_CLOSE_WRITE) != 0);
}

int main(void) {
  watch = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
  int notices = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);
  if (watch < 0 || notices < 0) return 77;
  int file = open("denied", O_CREAT | O_WRONLY, 0600);
  CHECK(file >= 0 && close(file) == 0);
  file = open("written", O_CREAT | O_WRONLY, 0600);
  CHECK(file >= 0);
  if (fanotify_mark(watch, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "denied") != 0) return 77;
  CHECK(fanotify_mark(notices, FAN_MARK_ADD, FAN_CLOSE_WRITE, AT_FDCWD, "written") == 0);

  pthread_t reader = start_thread(read_closed, number_pointer(notices));
  nap(20);
  CHECK(close(file) == 0);
  SAY("closed after writing: %d", (int)(intptr_t)join_thread(reader));

  pthread_t answers = start_thread(answer, NULL);
  nap(10);
  pthread_t opens = start_thread(open_it, NULL);
  SAY("open fails with %d", (int)(intptr_t)join_thread(opens));
  SAY("%d answered", (int)(intptr_t)join_thread(answers));
  CHECK(close(watch) == 0 && close(notices) == 0);
  return 0;
}
