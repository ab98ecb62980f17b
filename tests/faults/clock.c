/* A time of day that a test can set; loaded before a program's libraries (LD_PRELOAD).
 *
 * The file CLOCK_FILE holds 8 bytes: the number of seconds by which the time of day is ahead. As
 * with a real clock, setting it does not change the monotonic clock, and a wait until a time of
 * day lasts until this clock shows it. (With libfaketime such a wait ends as if the clock had not
 * been set, and its clock_nanosleep fails for Python 3.11.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 1000000

/* A wait by the monotonic clock counts from boot, which is always less than this. */
#define SECONDS_SINCE_1970 1000000000

static long long ahead(void) {
    static volatile const long long *seconds;
    if (!seconds) {
        int file = open(getenv("CLOCK_FILE"), O_RDONLY);
        void *mapped = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
        if (file < 0 || mapped == MAP_FAILED)
            abort();
        close(file);
        seconds = mapped;
    }
    return *seconds;
}

static int machine(clockid_t clock, struct timespec *now) {
    return (int)syscall(SYS_clock_gettime, clock, now);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = machine(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec real;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec;
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    if (now)
        *now = real.tv_sec;
    return real.tv_sec;
}

static int before(const struct timespec *left, const struct timespec *right) {
    return left->tv_sec < right->tv_sec ||
           (left->tv_sec == right->tv_sec && left->tv_nsec < right->tv_nsec);
}

static int wait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    if (until->tv_sec < SECONDS_SINCE_1970)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
    for (;;) {
        struct timespec now, poll, end = *until;
        machine(CLOCK_REALTIME, &now);
        poll = now;
        poll.tv_nsec += POLL_NS;
        poll.tv_sec += poll.tv_nsec / 1000000000;
        poll.tv_nsec %= 1000000000;
        end.tv_sec -= ahead();
        int last = before(&end, &poll);
        int result =
            pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, last ? &end : &poll);
        if (result != ETIMEDOUT || last)
            return result;
    }
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    return wait(condition, mutex, until);
}

/* The C11 functions: in glibc both types are the same. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until) {
    int failed = wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return !failed ? thrd_success : failed == ETIMEDOUT ? thrd_timedout : thrd_error;
}
