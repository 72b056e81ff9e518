/* complaint.h: whether two runs of a simulation fail alike. */
#ifndef CHRONIK_SIM_COMPLAINT_H
#define CHRONIK_SIM_COMPLAINT_H

#include <stdbool.h>
#include <string.h>

/* The same complaint, whatever numbers it names. */
static inline bool same_complaint(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

#endif
