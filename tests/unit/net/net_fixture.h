/* net_fixture.h: a server with a scripted handler on 127.0.0.1 and plain blocking client sockets, for the tests of net.
 * The handler looks at the first byte of a frame:
 *   'e' echo   'p' park until fx_release   'n' no answer   'd' drop   'f' answer with fx.range of fx.file
 *   'b' answer with 1 MiB of memory   'm' mute for 100 ms and echo   'l' park, but let go of the frame
 * Frames have at least 8 bytes. Runs against the real world. */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

#include <check.h>
#include <stdatomic.h>

#include "net/internal.h"
#include "net/net.h"

/* As ck_assert, for what is asked a million times: that one makes a system call each time. */
#define FX_MUST(cond)                                                                                                  \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            ck_abort_msg("%s", #cond);                                                                                 \
    } while (0)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FX_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FX_SANITIZER 1
#endif
#endif
#ifndef FX_SANITIZER
#define FX_SANITIZER 0
#endif

enum { FX_PARKED = 256, FX_BIG = 1024 * 1024 };

struct fx {
    struct os *os;
    struct net *net;
    uint16_t port;
    _Atomic int opened, closed, canceled, requests, sent, answers, stopped;
    _Atomic int dropped; /* bytes of frames without memory */
    struct os_mutex lock;
    struct net_req *parked[FX_PARKED];
    int n_parked;
    struct os_file *file;
    uint64_t range_off, range_n;
    uint8_t *big;
    struct chronik_task release_task;
    bool release_backwards;
    uint64_t pool_idle;
    struct os_flag released;
    char log[8192]; /* lines at WARN and above */
    _Atomic int log_lines;
    char told[512]; /* the last line at INFO */
    _Atomic int told_lines;
};

extern struct fx fx;

/* cfg may be NULL. */
void fx_open(const struct net_config *cfg);
void fx_close(void);
/* Answers (echoes) what is parked, in order or backwards; returns when that was done. One loop only. */
void fx_release(bool backwards);
/* Bytes of free buffers that loop 0 keeps. */
uint64_t fx_pool_idle(void);
/* Waits until *v is at least n, for at most two seconds. */
void fx_wait(_Atomic int *v, int n);

int fx_connect(void);
void fx_connect_with(int fd);
void fx_send(int fd, const void *p, size_t n);
/* Sends a frame of n bytes: kind, then a number, then filling. */
void fx_request(int fd, char kind, uint32_t number, uint32_t n);
/* Reads one answer into p; its length, or -1 when the connection was closed. */
int fx_answer(int fd, void *p, size_t cap);
/* Reads one answer and compares its number. */
void fx_expect(int fd, uint32_t number, uint32_t n);
/* True when the server closes the connection within two seconds. */
bool fx_is_closed(int fd);

#endif
