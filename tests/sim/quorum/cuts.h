/* cuts.h: streams that break in the middle of a snapshot, behind a chosen byte. Apart from quorum.h because the
 * module's frames and the state machine have names alike. One world a process. */
#ifndef CHRONIK_SIM_QUORUM_CUTS_H
#define CHRONIK_SIM_QUORUM_CUTS_H

#include <chronik/host.h>
#include <stdbool.h>

/* Puts itself between the module and its host. */
void cuts_wrap(struct chronik_host *table);
/* The next snapshot that anybody sends is cut behind so many bytes of its stream; its announcement is the first of
 * them. */
void cuts_arm(uint64_t bytes);
void cuts_disarm(void);
bool cuts_armed(void);      /* false: it was cut */
uint64_t cuts_passed(void); /* bytes of it that were let through */
/* Bytes of the frames of a snapshot: the first, and a full chunk. */
extern const uint64_t cuts_announcement, cuts_chunk;

#endif
