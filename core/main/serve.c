/* serve.c: loads the modules, starts the broker, shows the banner, waits for signals. SIGTERM and SIGINT stop in an
 * orderly way; a second one ends the grace; SIGHUP is ignored. Main thread; signals arrive on a loop of their own. */
#include "main/serve.h"

#include "base/log.h"
#include "base/uuid.h"
#include "main/banner.h"
#include "main/broker.h"
#include "main/settings.h"

#include <signal.h>
#include <stdio.h>

LOG_SUBSYSTEM("main");

struct process {
    struct os *os;
    struct config *config;
    struct plugin_module *meta, *store;
    struct broker *broker;
    struct os_exec *signals;
    struct os_flag stop;
    int signals_seen;
    int64_t started_ns;
};

static void ready(void *arg)
{
    struct process *p = arg;
    log_info("ready after %lld ms", (long long)((os_mono_ns(p->os) - p->started_ns) / 1000000));
}

static void fatal(void *arg, int32_t code, const char *text)
{
    struct process *p = arg;
    log_error("%s", text);
    os_exit(p->os, code);
}

static void on_signal(void *arg, int signo)
{
    struct process *p = arg;
    if (signo != SIGTERM && signo != SIGINT)
        return;
    if (p->signals_seen++ == 0) {
        log_info("stopping: answers under way will finish; a second signal ends them");
        os_flag_set(p->os, &p->stop);
    } else {
        log_info("stopping now");
        if (p->broker)
            broker_hurry(p->broker);
    }
}

static int32_t load_modules(struct process *p, struct err *e)
{
    char dir[4096];
    int32_t rc = settings_plugin_dir(p->config, dir, sizeof dir, e);
    if (rc > 0)
        rc = plugin_load(dir, CHRONIK_KIND_META, config_str(p->config, CFG_CHRONIK_META), &p->meta, e);
    if (rc > 0)
        rc = plugin_load(dir, CHRONIK_KIND_STORE, config_str(p->config, CFG_CHRONIK_STORE), &p->store, e);
    return rc;
}

static void show_banner(struct process *p)
{
    char text[4096], modules[256], cluster[UUID_TEXT];
    struct broker_facts f;
    broker_facts(p->broker, &f);
    snprintf(modules, sizeof modules, "%s %s, %s %s", p->meta->desc.name, p->meta->desc.version, p->store->desc.name,
             p->store->desc.version);
    struct banner b = {
        .cluster_id = f.cluster_known ? uuid_text(&f.cluster_id, cluster) : "(not known yet)",
        .node = f.node_id,
        .ports = f.ports,
        .admin = f.admin,
        .dirs = config_list(p->config, CFG_LOG_DIRS),
        .modules = modules,
    };
    b.n_listeners = config_listeners(p->config, &b.listeners);
    fputs(banner_text(&b, text, sizeof text), stdout);
    fflush(stdout);
}

static int32_t start(struct process *p, struct err *e)
{
    int32_t rc = load_modules(p, e);
    if (rc < 0)
        return rc;
    struct broker_options o = {
        .os = p->os,
        .config = p->config,
        .meta = p->meta,
        .store = p->store,
        .arg = p,
        .ready = ready,
        .fatal = fatal,
    };
    return broker_start(&o, &p->broker, e);
}

/* Before the broker starts: a stop that is asked for meanwhile is an orderly one too. */
static int32_t listen_to_signals(struct process *p, struct err *e)
{
    int32_t rc = os_exec_open(p->os, "signals", OS_EXEC_LOOP, &p->signals);
    if (rc > 0)
        rc = os_signals(p->os, p->signals, on_signal, p);
    return rc < 0 ? err_set(e, rc, "signals cannot be handled (code %d): too many threads?", rc) : rc;
}

int cmd_serve(struct os *os, const struct options *o, char *const *envp)
{
    struct process p = {.os = os, .started_ns = os_mono_ns(os)};
    struct err e = {0};
    p.config = settings_load(os, o, envp);
    if (!p.config)
        return 1;
    log_set_json(strcmp(config_str(p.config, CFG_CHRONIK_LOG_FORMAT), "json") == 0);
    bool levels = log_set_levels(config_str(p.config, CFG_CHRONIK_LOG_LEVEL));
    int32_t rc =
        levels ? listen_to_signals(&p, &e) : err_set(&e, CHRONIK_E_INVAL, "chronik.log.level: not a list of levels");
    if (rc > 0)
        rc = start(&p, &e);
    if (rc < 0) {
        fprintf(stderr, "chronik: %s\n", e.text);
    } else {
        show_banner(&p);
        while (!os_flag_wait(os, &p.stop, INT64_C(3600) * 1000000000))
            continue;
    }
    int64_t grace_ms = config_i64(p.config, CFG_CHRONIK_SHUTDOWN_TIMEOUT_MS);
    if (p.broker)
        broker_stop(p.broker, rc < 0 ? 0 : grace_ms * 1000000);
    if (p.signals)
        os_exec_close(p.signals);
    broker_free(p.broker);
    plugin_forget(p.meta);
    plugin_forget(p.store);
    config_free(p.config);
    log_info("stopped");
    return rc < 0 ? 1 : 0;
}
