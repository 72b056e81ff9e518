#include <config.h>

/* print.c: see print.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/print.h"
#include "wire/codes.h"

/* C0, DEL, and C1 in UTF-8: what a terminal may take for a command. */
static bool is_control(const uint8_t *s)
{
    return s[0] < 32 || s[0] == 127 || (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

const char *print_escaped(const char *s, char *buf, size_t n)
{
    size_t at = 0;
    for (const uint8_t *c = (const uint8_t *)s; *c && at + 9 < n; c++) {
        if (!is_control(c)) {
            buf[at++] = (char)*c;
            continue;
        }
        at += (size_t)snprintf(buf + at, n - at, "\\x%02x", *c);
        if (*c == 0xc2)
            at += (size_t)snprintf(buf + at, n - at, "\\x%02x", *++c);
    }
    buf[at] = 0;
    return buf;
}

void print_row(struct print_table *t, ...)
{
    va_list ap;
    if (t->rows == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->cells = realloc(t->cells, t->cap * (size_t)t->columns * PRINT_CELL);
        CHECK(t->cells);
    }
    va_start(ap, t);
    for (int i = 0; i < t->columns; i++)
        print_escaped(va_arg(ap, const char *), t->cells[t->rows * (size_t)t->columns + (size_t)i], PRINT_CELL);
    va_end(ap);
    t->rows++;
}

void print_table(struct print_table *t)
{
    int width[PRINT_COLUMNS] = {0};
    size_t columns = (size_t)t->columns;
    for (size_t i = 0; i < t->rows * columns; i++)
        if ((int)strlen(t->cells[i]) > width[i % columns])
            width[i % columns] = (int)strlen(t->cells[i]);
    for (size_t i = 0; i < t->rows * columns; i++) {
        bool last = i % columns == columns - 1;
        if (last)
            printf("%s\n", t->cells[i]);
        else
            printf("%-*s  ", width[i % columns], t->cells[i]);
    }
    free(t->cells);
    *t = (struct print_table){0};
}

void print_json(cJSON *o)
{
    char *text = o ? cJSON_Print(o) : NULL;
    CHECK(text);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(o);
}

int print_failure(const char *fmt, ...)
{
    char text[2048], plain[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "chronikctl: %s\n", print_escaped(text, plain, sizeof plain));
    return 1;
}

static const char *remedy(int code)
{
    switch (code) {
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
        return "chronikctl topic list shows what there is";
    case KAFKA_TOPIC_ALREADY_EXISTS:
        return "--if-not-exists accepts that";
    case KAFKA_INVALID_TOPIC_EXCEPTION:
        return "a name has 1 to 249 letters, digits, '.', '_' and '-'";
    case KAFKA_INVALID_PARTITIONS:
        return "choose --partitions of at least 1";
    case KAFKA_INVALID_REPLICATION_FACTOR:
        return "choose a --replication-factor not larger than the number of brokers";
    case KAFKA_INVALID_CONFIG:
        return "correct --config KEY=VALUE";
    case KAFKA_GROUP_ID_NOT_FOUND:
        return "chronikctl group list shows what there is";
    case KAFKA_INVALID_GROUP_ID:
        return "a group's name has 1 to 400 bytes";
    case KAFKA_NON_EMPTY_GROUP:
        return "stop its members first; chronikctl group describe shows them";
    case KAFKA_GROUP_SUBSCRIBED_TO_TOPIC:
        return "stop the members that read this topic first; chronikctl group describe shows them";
    case KAFKA_OFFSET_OUT_OF_RANGE:
        return "choose an offset between the partition's start and end";
    case KAFKA_KAFKA_STORAGE_ERROR:
        return "chronikctl status names the file or the directory that failed";
    case KAFKA_POLICY_VIOLATION:
    case KAFKA_TOPIC_DELETION_DISABLED:
        return "the broker's settings forbid it";
    case KAFKA_TOPIC_AUTHORIZATION_FAILED:
    case KAFKA_GROUP_AUTHORIZATION_FAILED:
    case KAFKA_CLUSTER_AUTHORIZATION_FAILED:
        return "ask whoever runs the broker for the right to do this";
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_NOT_COORDINATOR:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_REBALANCE_IN_PROGRESS:
    case KAFKA_LEADER_NOT_AVAILABLE:
    case KAFKA_NOT_CONTROLLER:
    case KAFKA_REQUEST_TIMED_OUT:
        return "try again in a moment; chronikctl status shows what the broker waits for";
    case KAFKA_UNSUPPORTED_VERSION:
        return "use a chronikctl of the broker's release";
    default:
        return "the broker's log may say more";
    }
}

int print_kafka_failure(const char *object, int code, const char *message, int message_n)
{
    const char *name = kafka_code_name(code);
    while (message_n > 0 && message[message_n - 1] == '.')
        message_n--;
    if (message_n <= 0)
        return print_failure("%s: %s; %s", object, name, remedy(code));
    return print_failure("%s: %.*s (%s); %s", object, message_n, message, name, remedy(code));
}

void print_flat(struct print_table *t, const cJSON *o, const char *prefix)
{
    for (const cJSON *i = o->child; i; i = i->next) {
        char name[PRINT_CELL], value[PRINT_CELL];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", i->string ? i->string : "-");
        if (cJSON_IsObject(i) || cJSON_IsArray(i)) {
            print_flat(t, i, name);
            continue;
        }
        if (cJSON_IsString(i))
            snprintf(value, sizeof value, "%s", i->valuestring);
        else if (cJSON_IsNumber(i))
            snprintf(value, sizeof value, "%.15g", i->valuedouble);
        else
            snprintf(value, sizeof value, "%s", cJSON_IsTrue(i) ? "yes" : cJSON_IsFalse(i) ? "no" : "-");
        print_row(t, name, value);
    }
}
