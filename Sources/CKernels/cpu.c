// Which tables this machine can run: on x86 the processor's features by cpuid, the operating system's by xgetbv; on Arm
// what the kernel says of both.

#include "tables.h"
#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct {
    int avx2, avxvnni, avx512, vnni, bf16;
} Features;

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static Features detect(void) {
    Features f = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    int osxsave = c >> 27 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
    if (!osxsave) return f;
    uint64_t state = enabled_state();
    int ymm = (state & 0x6) == 0x6, zmm = (state & 0xE6) == 0xE6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
    uint32_t leaves = a;
    f.avx2 = ymm && fma && f16c && (b >> 5 & 1);
    f.avx512 = f.avx2 && zmm && (b >> 16 & 1) /* F */ && (b >> 17 & 1) /* DQ */ && (b >> 30 & 1) /* BW */ && (b >> 31 & 1) /* VL */;
    f.vnni = f.avx512 && (c >> 11 & 1);
    if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        f.avxvnni = f.avx2 && (a >> 4 & 1);
        f.bf16 = f.vnni && (a >> 5 & 1);
    }
    return f;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/// HWCAP_ASIMDDP of the kernel's interface, which older headers lack.
enum { ByteDotProducts = 1 << 20 };
#endif

static KernelTable tables[KernelMostTables], testTables[KernelMostTables];
static size_t tableCount, testTableCount;
/// The one that a daemon takes where nobody asks for another.
static size_t bestTable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/// Adds a table that starts as a copy of the best so far.
static void add(const char *name, void (*fill)(KernelTable *)) {
    KernelTable table = tables[tableCount - 1];
    table.name = name;
    fill(&table);
    tables[tableCount++] = table;
}

#if defined(__x86_64__)
/// The same for tests only.
static void add_for_tests(const char *name, void (*fill)(KernelTable *)) {
    KernelTable table = tables[tableCount - 1];
    table.name = name;
    fill(&table);
    testTables[testTableCount++] = table;
}
#endif

static void build(void) {
    tables[tableCount++] = kernel_table_scalar;
#if defined(__x86_64__)
    Features f = detect();
    if (f.avx2) add("avx2", kernel_fill_avx2);
    if (f.vnni) add_for_tests("avxvnni (as avx512)", kernel_fill_avxvnni_evex);
    if (f.avxvnni) add("avxvnni", kernel_fill_avxvnni);
    if (f.avx512) add("avx512", kernel_fill_avx512);
    if (f.vnni) add("avx512vnni", kernel_fill_avx512vnni);
    if (f.avx512) add_for_tests("avx512bf16 (emulated)", kernel_fill_avx512bf16_emulated);
    bestTable = tableCount - 1;
    // To be asked for by name: it rounds activations to bf16, which costs accuracy, and from eight rows on the f32 tiles are faster
    // (64 rows on Sapphire Rapids: 136 against 73 Gop/s).
    if (f.bf16) add("avx512bf16", kernel_fill_avx512bf16);
#elif defined(__aarch64__)
    add("neon", kernel_fill_neon);
    if (getauxval(AT_HWCAP) & ByteDotProducts) add("neondot", kernel_fill_neondot);
    bestTable = tableCount - 1;
#endif
}

const KernelTable *kernel_table(const char *name) {
    pthread_once(&once, build);
    if (strcmp(name, "best") == 0) return &tables[bestTable];
    for (size_t i = 0; i < tableCount; i++)
        if (strcmp(name, tables[i].name) == 0) return &tables[i];
    return NULL;
}

size_t kernel_tables(const char **names) {
    pthread_once(&once, build);
    for (size_t i = 0; i < tableCount; i++) names[i] = tables[i].name;
    return tableCount;
}

size_t kernel_tables_for_tests(const KernelTable **found) {
    pthread_once(&once, build);
    for (size_t i = 0; i < testTableCount; i++) found[i] = &testTables[i];
    return testTableCount;
}
