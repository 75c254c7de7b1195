// pty(7): reading a terminal blocks until a line is there, in canonical mode, or until VMIN and VTIME say so;
// the other side sees what is written; hang-up ends it. tcdrain.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>

static int master, slave;

static void* read_line(void* argument) {
  char text[64];
  ssize_t count = read(*(int*)argument, text, sizeof text);
  CHECK(count >= 0);
  SAY("read %zd bytes", count);
  return NULL;
}

// EIO for who waits at that moment, the end of the file for who comes later.
static void* is_hung_up(void* argument) {
  char byte;
  ssize_t count = read(slave, &byte, 1);
  CHECK(count == 0 || (count == -1 && errno == EIO));
  CHECK(read(slave, &byte, 1) == 0);
  return argument;
}

static void* hundred_lines(void* argument) {
  FILE* stream = fdopen(dup(slave), "r");
  char line[64];
  (void)argument;
  for (int i = 0; i < 100; ++i) {
    CHECK(fgets(line, sizeof line, stream) != NULL && atoi(line) == i);
    CHECK(write(slave, "+", 1) == 1);
  }
  CHECK(fclose(stream) == 0);
  return NULL;
}

int main(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  CHECK(slave >= 0 && isatty(slave));
  struct termios settings;
  CHECK(tcgetattr(slave, &settings) == 0);
  settings.c_lflag &= (tcflag_t)~ECHO;
  settings.c_oflag &= (tcflag_t)~OPOST;
  CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);

  pthread_t reader = start_thread(read_line, &slave);
  nap(20);
  CHECK(write(master, "half ", 5) == 5);
  nap(20);
  CHECK(write(master, "line\n", 5) == 5);
  join_thread(reader);

  pthread_t lines = start_thread(hundred_lines, NULL);
  for (int i = 0; i < 100; ++i) {
    char line[16], sign = 0;
    int length = snprintf(line, sizeof line, "%d\n", i);
    CHECK(write(master, line, (size_t)length) == length && read(master, &sign, 1) == 1 && sign == '+');
  }
  join_thread(lines);

  settings.c_lflag &= (tcflag_t)~ICANON;
  settings.c_cc[VMIN] = 3;
  settings.c_cc[VTIME] = 0;
  CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
  reader = start_thread(read_line, &slave);
  nap(20);
  CHECK(write(master, "ab", 2) == 2);
  nap(20);
  CHECK(write(master, "c", 1) == 1);
  join_thread(reader);
  settings.c_cc[VMIN] = 0;
  settings.c_cc[VTIME] = 1;
  CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
  join_thread(start_thread(read_line, &slave));
  CHECK(tcdrain(slave) == 0);

  settings.c_cc[VMIN] = 1;
  CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
  reader = start_thread(is_hung_up, NULL);
  nap(20);
  CHECK(close(master) == 0);
  join_thread(reader);
  return 0;
}
