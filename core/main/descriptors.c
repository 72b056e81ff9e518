/* descriptors.c: see descriptors.h. What the broker needs for itself comes first: loops, logs, LMDB, the admin door and
 * its connections. The rest is the clients' and the partitions'. */
#include "main/descriptors.h"

#include "base/base.h"

#include <chronik/base.h>

enum { OWN = 96, LEAST = 160 };

int32_t descriptors_share(uint64_t limit, int64_t reserve, int64_t wanted, struct descriptors *out, struct err *e)
{
    if (limit < LEAST)
        return err_set(e, CHRONIK_E_INVAL,
                       "this process may open %llu files, and needs %d; raise the limit of open files (LimitNOFILE, "
                       "ulimit -n)",
                       (unsigned long long)limit, LEAST);
    int64_t room = (int64_t)(limit > UINT32_MAX ? UINT32_MAX : limit) - OWN;
    /* A max.connections that leaves the reserve is taken at its word; else both get a fair part. */
    int64_t most = room - min_i64(reserve, room / 8 * 3);
    int64_t clients = wanted <= most ? max_i64(wanted, 1) : min_i64(most, room / 8 * 5);
    *out = (struct descriptors){.clients = (uint32_t)clients, .data = (uint32_t)(room - clients)};
    return CHRONIK_DONE;
}
