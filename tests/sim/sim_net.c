/* sim_net.c: virtual streams. */
#include <config.h>

#include "sim_impl.h"

static uint64_t net_file_limit(struct os *os)
{
    return node_of(os)->fd_limit;
}

void sim_net_node_died(struct sim_node *n, bool power)
{
}

void sim_net_free(struct sim_world *w)
{
}

bool sim_sock_fire(struct sim_exec *loop)
{
    return false;
}

const struct os_net_ops sim_net_ops = {
    .file_limit = net_file_limit,
};
