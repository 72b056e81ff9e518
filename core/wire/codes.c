/* codes.c: names of protocol error codes, for logs, metrics and tools. */
#include "wire/codes.h"

const char *kafka_code_name(int code)
{
    switch (code) {
#define KAFKA_CODE_NAME(name, value, retriable)                                                                        \
    case value:                                                                                                        \
        return #name;
        KAFKA_CODES(KAFKA_CODE_NAME)
#undef KAFKA_CODE_NAME
    default:
        return "?";
    }
}
