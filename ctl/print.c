#include <config.h>

/* print.c: see print.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/print.h"
#include "wire/codes.h"

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
        snprintf(t->cells[t->rows * (size_t)t->columns + (size_t)i], PRINT_CELL, "%s", va_arg(ap, const char *));
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
    va_list ap;
    fputs("chronikctl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
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
