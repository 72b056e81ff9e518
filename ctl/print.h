/* print.h: answers for people (columns) and for programs (JSON), and failures. */
#ifndef CHRONIK_CTL_PRINT_H
#define CHRONIK_CTL_PRINT_H

#include <cjson/cJSON.h>

#include "base/err.h"

enum { PRINT_COLUMNS = 8, PRINT_CELL = 512 };

/* Rows of cells; printed with columns as wide as their widest cell. */
struct print_table {
    int columns;
    char (*cells)[PRINT_CELL]; /* row by row, the heading first */
    size_t rows, cap;
};

/* `s` for a terminal, in buf: control characters as \xNN, so that no name from a broker steers it. Returns buf. */
const char *print_escaped(const char *s, char *buf, size_t n);
/* Adds a row of t->columns strings (the last may be long, it is cut at PRINT_CELL), escaped. */
void print_row(struct print_table *t, ...);
/* Prints it and frees it. */
void print_table(struct print_table *t);
/* One row of two columns a value, named by its path behind `prefix`. */
void print_flat(struct print_table *t, const cJSON *o, const char *prefix);
/* Prints and deletes. */
void print_json(cJSON *o);
/* "chronikctl: sentence", escaped, on standard error; returns 1. */
int print_failure(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same for what Kafka's error code says about an object: message (may be NULL), name of the code, remedy. */
int print_kafka_failure(const char *object, int code, const char *message, int message_n);

#endif
