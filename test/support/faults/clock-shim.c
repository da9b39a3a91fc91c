// Preloaded into a process, shifts its wall clock and its boot time while it runs, as a suspend or a clock set by hand would; the monotonic clock goes on as it is.
// CLOCK_SHIM_FILE names a file of two native int64: nanoseconds to add to CLOCK_REALTIME, and to CLOCK_BOOTTIME.
// libuv reads boot time from /proc/uptime if it can: that file is said to be absent.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("CLOCK_SHIM_FILE");
  int fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) shift = at;
  close(fd);
}

static void add(struct timespec *t, int64_t ns) {
  int64_t sum = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + ns;
  t->tv_sec = sum / 1000000000;
  t->tv_nsec = sum % 1000000000;
}

int clock_gettime(clockid_t id, struct timespec *t) {
  int status = syscall(SYS_clock_gettime, id, t);
  if (status == 0 && shift) {
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) add(t, shift[0]);
    if (id == CLOCK_BOOTTIME) add(t, shift[1]);
  }
  return status;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}

static int opened(const char *path, int flags, va_list rest) {
  if (strcmp(path, "/proc/uptime") == 0) {
    errno = ENOENT;
    return -1;
  }
  return syscall(SYS_openat, AT_FDCWD, path, flags, (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int fd = opened(path, flags, rest);
  va_end(rest);
  return fd;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int fd = opened(path, flags | O_LARGEFILE, rest);
  va_end(rest);
  return fd;
}
