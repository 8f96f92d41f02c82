/* A thread team with a spin barrier. The members compute every time step together: each member writes a part of the
 * data that all of them read in the next step.
 *
 * A member waits at the barrier by spinning, because a step takes only microseconds. Spinning is slow if another
 * process has taken the core of a member: after too many slow waits, member 0 ends the team and continues alone.
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
    SPIN_LIMIT = 300,        /* iterations of some nanoseconds each; a wait above this is slow and yields the core */
    MAX_SLOW_WAITS = 8,      /* slow waits that are always allowed, because any thread is interrupted at times; */
    STEPS_PER_SLOW_WAIT = 32 /* one more is allowed after each of so many steps */
};

typedef struct {
    int64_t size, num_slow_waits;
    _Atomic int64_t num_arrivals;    /* summed over all generations */
    _Atomic int64_t last_generation; /* the generation of the barrier at which the team ends */
} Team;

static inline Team make_team(int64_t size)
{
    return (Team){.size = size, .last_generation = INT64_MAX};
}

/* Arrive at the barrier of a generation (1, 2, ...) and wait for all members; return whether the team continues. */
static inline bool barrier_wait(Team *team, int64_t member, int64_t generation)
{
    if (member == 0 && team->num_slow_waits > MAX_SLOW_WAITS + generation / STEPS_PER_SLOW_WAIT)
        atomic_store(&team->last_generation, generation); /* before arriving, so that every member sees it */
    atomic_fetch_add(&team->num_arrivals, 1);
    int64_t num_spins = 0;
    for (; atomic_load(&team->num_arrivals) < generation * team->size; num_spins++) {
        if (num_spins >= SPIN_LIMIT)
            sched_yield();
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    if (member == 0 && num_spins >= SPIN_LIMIT)
        team->num_slow_waits++;
    return generation < atomic_load(&team->last_generation);
}
