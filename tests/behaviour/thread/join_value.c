// pthread_join(3): the value of return and of pthread_exit, of a thread that runs and of one that has ended,
// by main and by another thread.
#include "check.h"

static void* return_argument(void* argument) {
  return argument;
}

static void* exit_with_argument(void* argument) {
  nap(20);
  pthread_exit(argument);
}

static void* join_other(void* argument) {
  return join_thread(*(pthread_t*)argument);
}

int main(void) {
  pthread_t finished = start_thread(return_argument, number_pointer(1));
  nap(50);
  CHECK(join_thread(finished) == number_pointer(1));
  CHECK(join_thread(start_thread(exit_with_argument, number_pointer(-2))) == number_pointer(-2));
  CHECK(join_thread(start_thread(return_argument, NULL)) == NULL);
  pthread_t inner = start_thread(exit_with_argument, number_pointer(3));
  CHECK(join_thread(start_thread(join_other, &inner)) == number_pointer(3));
  CHECK(pthread_join(start_thread(return_argument, NULL), NULL) == 0);
  SAY("every value arrived");
  return 0;
}
