/* chronik/base.h: what every chronik module and the broker agree on before anything else: result codes, the call
 * rule, identifiers, byte vectors, tasks. This directory is the public ABI; it needs only a C99 libc.
 *
 * ABI rules, for both sides:
 *  - Structs grow at the end only. A struct that begins with `size` is filled in by its owner with sizeof; the reader
 *    copies min(size, its own sizeof) and treats missing fields as zero. For a struct that is filled in by the callee
 *    the caller sets `size` to what it has room for, and the callee writes no more than that.
 *  - An array that crosses the border carries its element stride in bytes. Arrays of struct chronik_iov and struct
 *    chronik_range do not: these two are fixed for ever.
 *  - A struct with neither a size nor a stride beside it grows only with a minor version that both sides can see.
 *  - Unknown flag bits are refused with CHRONIK_E_UNSUPPORTED; unknown negative results are generic failures.
 *  - Fixed-width integers and opaque handles only.
 *
 * The call rule: a function that returns int32_t and takes a `struct chronik_done` returns
 *  CHRONIK_DONE (or any positive value)  it finished in this call; no completion follows;
 *  CHRONIK_PENDING (0)                   exactly one completion follows, later, on the thread that the function's
 *                                        comment names, never from inside the call;
 *  a negative code                       refused: nothing happened, no completion follows.
 * Arguments are borrowed until the call has completed. A completion with CHRONIK_E_TIMEDOUT or CHRONIK_E_CANCELED means
 * that the outcome is unknown. A `close` first completes all that is pending with CHRONIK_E_CANCELED. */
#ifndef CHRONIK_PUBLIC_BASE_H
#define CHRONIK_PUBLIC_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHRONIK_DONE    1
#define CHRONIK_PENDING 0

/* name, code, meaning */
#define CHRONIK_ERRORS(X)                                                                                              \
    X(CHRONIK_E_FAILED, -1, "failed")                                                                                  \
    X(CHRONIK_E_INVAL, -2, "invalid argument")                                                                         \
    X(CHRONIK_E_NOMEM, -3, "out of memory")                                                                            \
    X(CHRONIK_E_IO, -4, "input/output error")                                                                          \
    X(CHRONIK_E_NOSPC, -5, "no space left")                                                                            \
    X(CHRONIK_E_CORRUPT, -6, "damaged data")                                                                           \
    X(CHRONIK_E_NOTFOUND, -7, "not found")                                                                             \
    X(CHRONIK_E_EXISTS, -8, "exists already")                                                                          \
    X(CHRONIK_E_BUSY, -9, "busy; try again later")                                                                     \
    X(CHRONIK_E_AGAIN, -10, "would block")                                                                             \
    X(CHRONIK_E_CLOSED, -11, "closed")                                                                                 \
    X(CHRONIK_E_CANCELED, -12, "canceled; outcome unknown")                                                            \
    X(CHRONIK_E_TIMEDOUT, -13, "timed out; outcome unknown")                                                           \
    X(CHRONIK_E_NOT_LEADER, -14, "not the leader")                                                                     \
    X(CHRONIK_E_FENCED, -15, "fenced by a newer epoch")                                                                \
    X(CHRONIK_E_STALE, -16, "stale")                                                                                   \
    X(CHRONIK_E_RANGE, -17, "out of range")                                                                            \
    X(CHRONIK_E_TOOBIG, -18, "too big")                                                                                \
    X(CHRONIK_E_UNSUPPORTED, -19, "not supported")                                                                     \
    X(CHRONIK_E_VERSION, -20, "version mismatch")                                                                      \
    X(CHRONIK_E_PERM, -21, "not permitted")                                                                            \
    X(CHRONIK_E_LOCKED, -22, "in use by another process")                                                              \
    X(CHRONIK_E_OFFLINE, -23, "directory offline")

#define CHRONIK_ERROR_CODE(name, code, text) name = code,
enum { CHRONIK_ERRORS(CHRONIK_ERROR_CODE) CHRONIK_E_END_ = -24 };
#undef CHRONIK_ERROR_CODE

/* Whether the struct at `p`, whose first field is its size, is long enough to hold `field`. */
#define CHRONIK_HAS(type, p, field) ((p)->size >= offsetof(type, field) + sizeof((p)->field))

/* 16 bytes in network order; all zero means none. */
struct chronik_uuid {
    uint8_t b[16];
};

/* Bytes lent to the callee for reading, or, where a comment says so, for writing into. */
struct chronik_iov {
    void *p;
    uint64_t n; /* bytes */
};

/* What to call when a pending call has completed: once, with a positive value or a negative code. */
struct chronik_done {
    void (*fn)(void *arg, int32_t result);
    void *arg;
};

/* One unit of work on an executor. The memory belongs to the caller and must stay valid until fn runs (fn may free or
 * post it again) or a cancel succeeded. Zero it before the first use; `reserved` is the host's. */
struct chronik_task {
    void (*fn)(void *arg);
    void *arg;
    uint64_t reserved[6];
};

struct chronik_exec;   /* a named serial executor: tasks run one after another, in the order of their posts */
struct chronik_file;   /* an open file of the host */
struct chronik_buf;    /* a reference-counted buffer of the host */
struct chronik_stream; /* a connected byte stream of the host */
struct chronik_metric; /* a counter, gauge or histogram of the host */

#ifdef __cplusplus
}
#endif
#endif
