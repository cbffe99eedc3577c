/* Clock: preloaded into a run's processes, adds the seconds that a file holds to the wall clock, as `date --set` would.

The clocks that measure durations are left alone, so libfaketime does not serve: without faking those, it lets
clock_nanosleep fail with EINVAL. A wait until a time of the wall clock waits as long as it was meant to.
Its file is named by CLOCK_OFFSET_FILE, eight bytes, an int64 of this machine. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WALL 1000000000 /* seconds that no clock but the wall clock shows */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static volatile int64_t nothing;
static volatile int64_t *offset = &nothing;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("CLOCK_OFFSET_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort(); /* a run whose clock does not step would prove nothing */
  close(file);
  offset = page;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

/* What the kernel is to wait for, where a program waits until a time of the wall clock as it sees it. */
static const struct timespec *true_time(const struct timespec *until, struct timespec *held) {
  if (!until || until->tv_sec < WALL) return until;
  *held = (struct timespec){until->tv_sec - *offset, until->tv_nsec};
  return held;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && is_wall(clock)) now->tv_sec += *offset;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
  return 0;
}

time_t time(time_t *kept) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (kept) *kept = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
  struct timespec held;
  const struct timespec *when = is_wall(clock) && (flags & TIMER_ABSTIME) ? true_time(until, &held) : until;
  return syscall(SYS_clock_nanosleep, clock, flags, when, left) ? errno : 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until) {
  struct timespec held;
  return REAL(pthread_cond_timedwait)(cond, lock, true_time(until, &held));
}

int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock, clockid_t clock,
                           const struct timespec *restrict until) {
  struct timespec held;
  return REAL(pthread_cond_clockwait)(cond, lock, clock, true_time(until, &held));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict lock, const struct timespec *restrict until) {
  struct timespec held;
  return REAL(pthread_mutex_timedlock)(lock, true_time(until, &held));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  struct timespec held;
  return REAL(sem_timedwait)(semaphore, true_time(until, &held));
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until) {
  struct timespec held;
  return REAL(sem_clockwait)(semaphore, clock, true_time(until, &held));
}

/* Libraries with locks of their own ask the kernel for them directly. */
long syscall(long number, ...) {
  va_list given;
  long word[6];
  struct timespec held;
  va_start(given, number);
  for (int place = 0; place < 6; place++) word[place] = va_arg(given, long);
  va_end(given);
  if (number == SYS_futex && (word[1] & FUTEX_CLOCK_REALTIME))
    word[3] = (long)true_time((const struct timespec *)word[3], &held);
  return REAL(syscall)(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
