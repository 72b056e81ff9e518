/* rows.h: the row that each handler's file defines. */
#ifndef CHRONIK_API_ROWS_H
#define CHRONIK_API_ROWS_H

#include "api/api.h"

extern const struct api_row api_produce, api_fetch, api_list_offsets, api_metadata, api_api_versions;
extern const struct api_row api_create_topics, api_delete_topics, api_create_partitions, api_delete_records;
extern const struct api_row api_init_producer_id, api_offset_for_leader_epoch, api_describe_producers;
extern const struct api_row api_describe_configs, api_alter_configs, api_incremental_alter_configs;
extern const struct api_row api_describe_log_dirs, api_describe_cluster, api_describe_topic_partitions;
extern const struct api_row api_join_group, api_sync_group, api_heartbeat, api_leave_group;
extern const struct api_row api_describe_groups, api_list_groups, api_delete_groups;
extern const struct api_row api_find_coordinator, api_offset_commit, api_offset_fetch, api_offset_delete;
extern const struct api_row api_describe_acls, api_create_acls, api_delete_acls, api_elect_leaders;
extern const struct api_row api_alter_partition_reassignments, api_list_partition_reassignments;
extern const struct api_row api_alter_replica_log_dirs, api_list_config_resources, api_update_features;
extern const struct api_row api_describe_quorum, api_unregister_broker, api_add_raft_voter, api_remove_raft_voter;
extern const struct api_row api_describe_client_quotas, api_describe_user_scram_credentials;

/* Appends what the loop's produce requests gathered and answers what can be answered. */
void produce_gathered(struct api_loop *l);
bool produce_is_silent(const void *body); /* acks=0: no answer is read */

#endif
