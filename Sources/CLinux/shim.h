// Linux calls that glibc declares only under _GNU_SOURCE, and which Swift's Glibc module therefore does not have.
//
// Declared here rather than included: the Glibc module's headers are already compiled without that macro.

#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/types.h>

/// An anonymous file in memory; see memfd_create(2).
int memfd_create(const char *name, unsigned int flags);

/// Changes the allocated extent of a file; see fallocate(2).
int fallocate(int fd, int mode, off_t offset, off_t length);

/// Starts writing dirty pages of a file back; see sync_file_range(2).
int sync_file_range(int fd, off_t offset, off_t length, unsigned int flags);

/// mkstemps(3) with flags of open(2).
int mkostemps(char *pattern, int suffix_length, int flags);

/// Names the calling thread for debuggers, top and perf; the kernel keeps 15 bytes. prctl is variadic, which Swift cannot call.
static inline void linux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

enum {
    BERTH_SYNC_FILE_RANGE_WRITE = 0x2,
    BERTH_MFD_CLOEXEC = 0x1,
    BERTH_FALLOC_KEEP_SIZE = 0x1,
    BERTH_FALLOC_PUNCH_HOLE = 0x2,
    /// Differs between architectures.
    BERTH_O_DIRECT = __O_DIRECT,
};
