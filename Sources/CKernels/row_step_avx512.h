// What the tiles with AVX-512 do with four bytes of one row and a line of each panel, in assembly because it must stay as it stands: the compiler's
// scheduler moves loads up until accumulators spill, and its induction variables add an addition per row; either costs a quarter of the
// speed, since the loops have no instruction to spare.
//
// The including file defines DOT_STEP(SUM, LINE, VALUE): the assembly of SUM += LINE · VALUE, on operands of these names; and what it needs
// beside them, as declarations (DOT_DECLARATIONS) and output operands (DOT_TEMPORARIES).

#pragma once

/// SUMS[p] += line w<p> · the four bytes at DISPLACEMENT from BASE, broadcast, for `count` panels: four or one. All of them are variables around it.
#define ROW_STEP(SUMS, DISPLACEMENT, BASE)                                                                            \
    do {                                                                                                              \
        __m512 value;                                                                                                 \
        DOT_DECLARATIONS                                                                                              \
        if (count == 4)                                                                                               \
            __asm__ volatile("vbroadcastss " DISPLACEMENT "(%[base]), %[v]\n\t" DOT_STEP("d0", "w0", "v")             \
                                 DOT_STEP("d1", "w1", "v") DOT_STEP("d2", "w2", "v") DOT_STEP("d3", "w3", "v")        \
                             : [d0] "+v"(SUMS[0]), [d1] "+v"(SUMS[1]), [d2] "+v"(SUMS[2]), [d3] "+v"(SUMS[3]),         \
                               [v] "=&v"(value)DOT_TEMPORARIES                                                        \
                             : [w0] "v"(w0), [w1] "v"(w1), [w2] "v"(w2), [w3] "v"(w3), [base] "r"(BASE)                \
                             : "memory");                                                                             \
        else                                                                                                          \
            __asm__ volatile("vbroadcastss " DISPLACEMENT "(%[base]), %[v]\n\t" DOT_STEP("d0", "w0", "v")             \
                             : [d0] "+v"(SUMS[0]), [v] "=&v"(value)DOT_TEMPORARIES                                    \
                             : [w0] "v"(w0), [base] "r"(BASE)                                                         \
                             : "memory");                                                                             \
    } while (0)

/// Line K from PANEL on, into W.
#define LOAD_LINE(W, PANEL, K) __asm__ volatile("vmovups 64*" #K "(%1), %0" : "=v"(W) : "r"(PANEL))
