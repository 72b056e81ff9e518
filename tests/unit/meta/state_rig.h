/* state_rig.h: the state machine alone, without threads or engine: one state, commands applied to it one by one, each
 * time with its digest computed anew; and the corpus of logs whose digests must never change. */
#ifndef CHRONIK_TESTS_STATE_RIG_H
#define CHRONIK_TESTS_STATE_RIG_H

#include "meta/cmd.h"

extern struct meta_mem mem;
extern struct meta_state st;
extern uint64_t number; /* of the next entry */
extern const struct chronik_uuid me;
extern struct meta_entry_result last; /* of the last entry; its outcomes live until the next publication */

/* Fixture. */
void up(void);
void down(void);

struct chronik_uuid id_of(uint64_t n);
struct meta_envelope envelope(void);
enum meta_verdict apply_as(struct meta_envelope env, const struct meta_command *c, uint32_t n);
/* Applies one command; its code. The digest is checked every time. */
int16_t apply(const struct meta_command *c);
int16_t reg(int32_t id, uint64_t boot, uint8_t incarnation, bool unclean);
int16_t create(const char *name, uint64_t id, uint32_t parts, const int32_t *replicas, uint32_t rf);
const struct meta_topic *topic(const char *name);
int16_t drop_topic(uint64_t id);
/* A second state made from this one's rows; alike in digest and counts, or the test fails. */
void restore_into(struct meta_state *copy);

/* Applies corpus/NAME and compares each line's digest. */
void corpus_check(const char *name);
/* Applies and prints a line for a new corpus file: CHRONIK_META_RECORD=1. Old files are never changed. */
void corpus_record(const struct meta_command *c, uint32_t n);

#endif
