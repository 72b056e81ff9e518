/* boot.c: how a broker introduces itself: when the log has caught up it proposes, in one entry, the cluster's formation
 * (if there is none yet) and its registration, and tries again in the background until that is applied. Apply executor
 * only; nothing waits. */
#include <inttypes.h>
#include <stdio.h>

#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

static void boot_again(void *arg)
{
    struct meta *m = arg;
    if (!m->closing && !m->stopped && !m->registered)
        boot_begin(m);
}

static void retry_later(struct meta *m, const char *why)
{
    m->boot_running = false;
    m->boot_backoff = m->boot_backoff ? min_i64(m->boot_backoff * 2, INT64_C(2000000000)) : INT64_C(50000000);
    log_info("the registration of broker %d is tried again: %s", m->opt.node_id, why);
    m->boot_task.fn = boot_again;
    m->boot_task.arg = m;
    m->host.exec_post_at(m->apply, &m->boot_task, os_mono_ns(m->os) + m->boot_backoff);
}

static void on_registered(void *arg, const struct meta_result *r)
{
    struct meta *m = arg;
    if (m->closing)
        return;
    if (r->code == KAFKA_REQUEST_TIMED_OUT || r->code == KAFKA_STALE_BROKER_EPOCH || r->code == KAFKA_NOT_CONTROLLER) {
        retry_later(m, r->text);
        return;
    }
    if (r->code != KAFKA_NONE) {
        char why[256];
        snprintf(why, sizeof why, "broker %d cannot register: %.180s", m->opt.node_id, r->text);
        engine_stop(m, CHRONIK_E_INVAL, why);
        return;
    }
    os_mutex_lock(&m->lock);
    m->registered = true;
    m->broker_epoch = r->values[0];
    os_mutex_unlock(&m->lock);
    m->boot_running = false;
    log_info("broker %d registered with epoch %" PRId64, m->opt.node_id, r->values[0]);
    if (m->opt.registered)
        m->opt.registered(m->opt.arg, r->values[0]);
    if (m->rec)
        reconcile_wake(m);
    propose_pump(m);
}

static void on_formed(void *arg, const struct meta_result *r)
{
    struct meta *m = arg;
    if (r->code == KAFKA_INCONSISTENT_CLUSTER_ID)
        log_info("another node formed the cluster at the same time: %s", r->text);
    else if (r->code != KAFKA_NONE)
        log_debug("forming the cluster: %s", r->text);
    (void)m;
}

static void on_feature(void *arg, const struct meta_result *r)
{
    if (r->code != KAFKA_NONE)
        log_warn("a feature level of the new cluster was not set: %s", r->text);
    (void)arg;
}

static void boot_form(struct meta *m)
{
    struct meta_command c = {.type = META_CMD_CLUSTER_FORM};
    c.u.cluster_form.cluster_id = m->opt.self.cluster_id;
    if (meta_uuid_zero(&c.u.cluster_form.cluster_id))
        c.u.cluster_form.cluster_id = m->opt.cluster_id;
    if (meta_uuid_zero(&c.u.cluster_form.cluster_id)) {
        os_random(m->os, c.u.cluster_form.cluster_id.b, 16);
        c.u.cluster_form.cluster_id.b[6] = (c.u.cluster_form.cluster_id.b[6] & 0x0f) | 0x40;
        c.u.cluster_form.cluster_id.b[8] = (c.u.cluster_form.cluster_id.b[8] & 0x3f) | 0x80;
    }
    propose_put(m, META_CONTROLLER, &c, 0, on_formed, m, true);
    for (uint32_t i = 0; i < m->opt.self.n_features; i++) {
        struct meta_command f = {.type = META_CMD_FEATURE_SET};
        f.u.feature_set.name = m->opt.self.features[i].name;
        f.u.feature_set.level = m->opt.self.features[i].level;
        propose_put(m, META_CONTROLLER, &f, 0, on_feature, m, true);
    }
}

void boot_begin(struct meta *m)
{
    if (m->boot_running || m->registered)
        return;
    m->boot_running = true;
    if (meta_uuid_zero(&m->st.img.cluster_id))
        boot_form(m);
    const struct meta_broker *old = meta_broker_by_id(&m->st.img, m->opt.node_id);
    const struct meta_self *s = &m->opt.self;
    struct meta_command c = {.type = META_CMD_BROKER_REGISTER};
    c.u.broker_register = (struct meta_broker_register){.id = m->opt.node_id,
                                                        .incarnation = m->incarnation,
                                                        .boot = old ? old->boot + 1 : 1,
                                                        .rack = s->rack,
                                                        .endpoints = s->endpoints,
                                                        .n_endpoints = s->n_endpoints,
                                                        .dirs = s->dirs,
                                                        .n_dirs = s->n_dirs,
                                                        .unclean = s->unclean};
    int32_t rc = propose_put(m, META_CONTROLLER, &c, 0, on_registered, m, true);
    if (rc < 0)
        retry_later(m, "the proposal was refused");
}
