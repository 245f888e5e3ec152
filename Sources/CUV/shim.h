#pragma once
#include <sys/prctl.h>
#include <uv.h>

// prctl is variadic, which Swift cannot call, and pthread_setname_np is hidden without _GNU_SOURCE.
static inline void cuv_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
