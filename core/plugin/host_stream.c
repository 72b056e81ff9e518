/* host_stream.c: the streams of a module. This host has none yet: listening and connecting are refused, so that no
 * stream ever exists. */
#include "plugin/host_internal.h"

static int32_t stream_listen(void *ctx, struct chronik_exec *e, const char *address,
                             const struct chronik_listen_events *ev, void **listener)
{
    (void)ctx, (void)e, (void)address, (void)ev, (void)listener;
    return CHRONIK_E_UNSUPPORTED;
}

static int32_t stream_connect(void *ctx, struct chronik_exec *e, const char *address, int64_t timeout_ns,
                              struct chronik_stream **out, struct chronik_done done)
{
    (void)ctx, (void)e, (void)address, (void)timeout_ns, (void)out, (void)done;
    return CHRONIK_E_UNSUPPORTED;
}

void host_stream_fill(struct chronik_host *t)
{
    t->listen = stream_listen;
    t->connect = stream_connect;
}

void host_streams_free(struct plugin_host *h)
{
    (void)h;
}
