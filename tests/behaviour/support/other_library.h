#ifndef TESTS_BEHAVIOUR_SUPPORT_OTHER_LIBRARY_H_
#define TESTS_BEHAVIOUR_SUPPORT_OTHER_LIBRARY_H_

#include <sys/socket.h>

enum { kEarlyThreads = 120 };  // alive since before main
void end_early_threads(void);
// How often the library's own connect() and usleep() were called.
int connects_seen(void);
int sleeps_seen(void);

#endif  // TESTS_BEHAVIOUR_SUPPORT_OTHER_LIBRARY_H_
