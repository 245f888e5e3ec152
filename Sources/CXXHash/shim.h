// XXH3 in its fastest form for the CPU it runs on.
//
// On x86-64 the library has variants for AVX2 and AVX-512 behind functions of other names (three times as fast as the
// baseline); elsewhere the one it was built with is right.

#pragma once

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

static inline XXH3_state_t *berth_checksum_create(void) {
    XXH3_state_t *state = XXH3_createState();
    XXH3_64bits_reset(state);
    return state;
}

static inline void berth_checksum_update(XXH3_state_t *state, const void *bytes, size_t count) {
    XXH3_64bits_update(state, bytes, count);
}

static inline uint64_t berth_checksum_value(const XXH3_state_t *state) { return XXH3_64bits_digest(state); }

static inline void berth_checksum_free(XXH3_state_t *state) { XXH3_freeState(state); }
