/* cuts.c: a stream that breaks behind a chosen byte of a snapshot: what was written up to there arrives, the rest never
 * does, and the writer learns that its connection is gone. It sees the module's writes alone, in between the module and
 * its host. */
#include "tests/sim/quorum/cuts.h"

#include "plugins/meta-raft/wire.h"

const uint64_t cuts_announcement = WIRE_HEAD + 16, cuts_chunk = WIRE_HEAD + 8 + WIRE_CHUNK_BYTES;

static struct {
    bool armed, counts;
    uint64_t allowed, passed;
    struct chronik_stream *stream;
    struct chronik_iov part; /* what is written of the write that is cut; borrowed until it is done */
    struct chronik_done then;
} cut;

static int32_t (*real_write)(struct chronik_stream *s, const struct chronik_iov *iov, uint32_t n,
                             struct chronik_done done);

void cuts_arm(uint64_t bytes)
{
    memset(&cut, 0, sizeof cut);
    cut.armed = true;
    cut.allowed = bytes;
}

void cuts_disarm(void)
{
    cut.armed = false;
}

bool cuts_armed(void)
{
    return cut.armed;
}

uint64_t cuts_passed(void)
{
    return cut.passed;
}

/* Where a snapshot is announced in these whole frames; n: nowhere. */
static uint64_t announced(const uint8_t *p, uint64_t n)
{
    uint64_t at = 0;
    while (at + WIRE_HEAD <= n && get_le32(p + at + 8) != WIRE_SNAP)
        at += WIRE_HEAD + get_le32(p + at);
    return at < n ? at : n;
}

static void cut_done(void *arg, int32_t rc)
{
    cut.then.fn(cut.then.arg, rc < 0 ? rc : CHRONIK_E_CLOSED);
}

static int32_t write_cut(struct chronik_stream *s, const struct chronik_iov *iov, uint32_t n, struct chronik_done done)
{
    uint64_t begins = 0;
    CHECK(n == 1);
    if (cut.armed && !cut.counts) {
        begins = announced(iov->p, iov->n);
        cut.counts = begins < iov->n;
        cut.stream = cut.counts ? s : NULL;
    }
    if (!cut.armed || s != cut.stream)
        return real_write(s, iov, n, done);
    uint64_t more = iov->n - begins, left = cut.allowed - cut.passed;
    if (more <= left) {
        cut.passed += more;
        return real_write(s, iov, n, done);
    }
    cut.passed += left;
    cut.armed = false;
    cut.then = done;
    cut.part = (struct chronik_iov){iov->p, begins + left};
    return cut.part.n ? real_write(s, &cut.part, 1, (struct chronik_done){cut_done, NULL}) : CHRONIK_E_CLOSED;
}

void cuts_wrap(struct chronik_host *table)
{
    real_write = table->stream_write;
    table->stream_write = write_cut;
}
