// OpenMP: a team of threads that meets at barriers, critical sections, tasks, reductions; teams inside teams,
// and a team of each of several threads.
#include "check.h"

#include <omp.h>

static long work(int threads) {
  long sum = 0, inside = 0, tasks = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
  {
    for (int round = 0; round < 20; ++round) {
#pragma omp for schedule(dynamic, 7)
      for (int i = 0; i < 1000; ++i) sum += i;
#pragma omp critical
      ++inside;
#pragma omp barrier
#pragma omp single
      for (int i = 0; i < 20; ++i) {
#pragma omp task
        {
#pragma omp atomic
          ++tasks;
        }
      }
    }
  }
  CHECK(inside == 20L * threads && tasks == 400);
  return sum;
}

static void* work_in_thread(void* argument) {
  CHECK(work(3) == 20L * 499500);
  return argument;
}

int main(void) {
  omp_set_dynamic(0);
  SAY("%ld", work(4));
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) threads[i] = start_thread(work_in_thread, NULL);
  for (int i = 0; i < 3; ++i) join_thread(threads[i]);
  SAY("in threads");
  omp_set_max_active_levels(2);
  long total = 0;
#pragma omp parallel num_threads(2) reduction(+ : total)
  total += work(2);
  SAY("%ld", total);
  return 0;
}
