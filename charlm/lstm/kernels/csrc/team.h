/* A team of threads that takes every step together: each writes a share of what all of them read in the next one.
 *
 * Members wait for each other without sleeping, for a step takes microseconds. That is no good where a member has lost
 * its core to another process: then the first member, tired of waiting, dissolves the team and goes on alone.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(_OPENMP)
#include <omp.h>
#define NUM_THREADS omp_get_num_threads()
#define THREAD omp_get_thread_num()
#else
#define NUM_THREADS 1
#define THREAD 0
#endif

enum {
    PATIENCE = 300,     /* looks, each of some nanoseconds, that make a wait a long one */
    LONG_WAITS = 8,     /* that are forgiven, for the system interrupts everybody at times, */
    STEPS_A_WAIT = 32   /* and one more every so many steps */
};

typedef struct {
    int64_t size, num_long_waits;
    _Atomic int64_t num_arrivals; /* over all meetings */
    _Atomic int64_t last;         /* the meeting that dissolves the team */
} Team;

static inline Team make_team(int64_t size)
{
    return (Team){.size = size, .last = INT64_MAX};
}

/* Wait until all members have come to the n-th meeting, counted from 1; return whether there will be another. */
static inline bool meet(Team *team, int64_t member, int64_t n)
{
    if (member == 0 && team->num_long_waits > LONG_WAITS + n / STEPS_A_WAIT)
        atomic_store(&team->last, n); /* before arriving, so that nobody leaves this meeting without knowing it */
    atomic_fetch_add(&team->num_arrivals, 1);
    int64_t looks = 0;
    for (; atomic_load(&team->num_arrivals) < n * team->size; looks++) {
        if (looks >= PATIENCE)
            sched_yield();
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    if (member == 0 && looks >= PATIENCE)
        team->num_long_waits++;
    return n < atomic_load(&team->last);
}
