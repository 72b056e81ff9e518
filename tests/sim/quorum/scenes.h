/* scenes.h: what the scenes share, and those that stand in scenes_odd.c. Each breaks the run by itself when something
 * is not as it must be. */
#ifndef CHRONIK_SIM_QUORUM_SCENES_H
#define CHRONIK_SIM_QUORUM_SCENES_H

#include "quorum.h"

struct node *scene_follower(int k); /* of those that do not lead; NULL: nobody leads */
void scene_check_all(void);
/* Asks the operator's request of that node and waits for the answer, which must be `wanted`. */
void scene_asks(struct node *at, uint32_t op, int32_t node, uint32_t flags, int32_t wanted);
void scene_wants(uint32_t voters, uint32_t learners);
/* A follower that is cut off and lacks what the leader has forgotten: only a snapshot helps it. */
struct node *scene_left_behind(uint32_t topics, uint32_t partitions);

void a_snapshot_whose_answer_is_lost_is_answered_again(void);
void half_a_snapshot_of_a_former_leader_keeps_no_other_out(void);
void who_waits_to_be_added_notices_that_all_machines_were_off(void);
void a_leader_whom_no_setting_names_can_add_a_node(void);
void a_snapshot_brings_the_group_of_its_own_entry(void);
void nobody_campaigns_before_it_has_tried_every_voter(void);
void a_new_leader_answers_no_read_before_an_entry_of_its_own_is_committed(void);

#endif
