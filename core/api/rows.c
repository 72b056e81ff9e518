/* rows.c: the registration of every API key that this broker serves. What is not here is not advertised. */
#include "api/rows.h"

const struct api_row *const api_rows[] = {
    &api_produce,
    &api_fetch,
    &api_list_offsets,
    &api_metadata,
    &api_api_versions,
    &api_create_topics,
    &api_delete_topics,
    &api_delete_records,
    &api_init_producer_id,
    &api_offset_for_leader_epoch,
    &api_describe_configs,
    &api_alter_configs,
    &api_describe_log_dirs,
    &api_create_partitions,
    &api_incremental_alter_configs,
    &api_describe_cluster,
    &api_describe_producers,
    &api_describe_topic_partitions,
    NULL,
};
