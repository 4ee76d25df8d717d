// The system's clock, ahead by as many seconds as the file named by TORTURE_CLOCK says: eight bytes, which may change at any
// time. Loaded before the C library (LD_PRELOAD). The clocks that never jump stay as they are.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* file;

__attribute__((constructor)) static void open_file(void) {
  const char* name = getenv("TORTURE_CLOCK");
  const int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  void* at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *file, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED)
    abort();
  close(fd);
  file = at;
}

static int64_t ahead_s(void) {
  return file ? *file : 0;
}

int clock_gettime(clockid_t which, struct timespec* now) {
  const int failed = (int)syscall(SYS_clock_gettime, which, now);
  if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
    now->tv_sec += ahead_s();
  return failed;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  (void)zone;
  struct timespec precise;
  const int failed = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return failed;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out)
    *out = now.tv_sec;
  return now.tv_sec;
}

// A deadline is of the clock that the condition was made with, and only its size tells which: no machine is up for 30 years.
int pthread_cond_timedwait(pthread_cond_t* restrict condition, pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict end) {
  struct timespec until = *end;
  if (until.tv_sec < 1000000000)
    return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &until);
  until.tv_sec -= ahead_s();
  return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &until);
}
