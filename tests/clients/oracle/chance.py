"""chance.py: requests by chance, of one seed: every field of every version gets a value that its name suggests, mostly
sensible ones of things that exist, now and then wrong ones."""
import random
import uuid

import batches
import messages
from oracle import Id

TOPICS = ["alpha", "beta", "gamma", "delta", "compacted", "nothing", "bad name", "", ".", "a" * 250]
NEW = ["chance-%d" % i for i in range(6)]
TIMES = [-1, -2, -3, -4, -5, -6, -7, 0, 1600000000000, 1700000000000, 1700000000005, 1 << 50]
# None by which old records go, or segments end that a cleaner may then take: when that happens is each broker's own.
CONFIGS = ["flush.ms", "delete.retention.ms", "cleanup.policy", "segment.bytes", "max.message.bytes", "no.such.config", "compression.type",
           "min.insync.replicas", "message.timestamp.type"]
VALUES = ["100", "-1", "0", "delete", "compact", "delete,compact", "delete,", "compact,compact", "gzip", "CreateTime", "LogAppendTime", "x", "", "2097152",
          "1048576", "true"]


def identity(row):
    if not isinstance(row, dict):
        return repr(row)
    name = next((k for k in ("name", "topic", "topic_id", "resource_name", "partition_index", "partition", "index")
                 if row.get(k) is not None), None)
    return repr((row.get("resource_type"), row[name])) if name else repr(row)


class Chance:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def request(self, api):
        """(version, body)"""
        a = messages.APIS[api]
        version = self.r.randint(*a.versions)
        return version, self.struct(api, a.request.root, version)

    def struct(self, api, s, version):
        # A field that the version lacks must keep its default: it could not be sent.
        return {f.name: self.field(api, s, f, version) for f in s.fields if messages.has(f, version)
                and not (f.tag is not None and self.r.random() < 0.5)}

    def field(self, api, s, f, version):
        r = self.r
        if f.array:
            if messages.nullable(f, version) and r.random() < 0.1:
                return None
            inner = s is not messages.APIS[api].request.root
            n = r.choice([1, 1, 1, 2, 3] if inner else [0, 1, 1, 1, 2, 3])
            if f.name == "configs" or api == "AlterConfigs":  # which of several wrong ones is named is Kafka's hash table's
                n = 1
            rows = [self.one(api, s, f, version) for _ in range(n)]
            return list({identity(row): row for row in rows}.values())  # repetitions have scenes of their own
        if f.name == "cursor":
            return None
        if f.name == "records":
            return self.batch()  # Kafka never answers null
        if api == "Metadata" and f.name in ("topic_id", "name"):  # one of both; ids have a scene
            return uuid.UUID(int=0) if f.name == "topic_id" else r.choice(TOPICS + NEW)
        if f.name in ("cluster_id", "node_id") and api == "ApiVersions":
            return messages.default(f)
        if messages.nullable(f, version) and r.random() < 0.1 and f.name not in ("transactional_id",):
            return None
        return self.one(api, s, f, version)

    def one(self, api, s, f, version):
        if f.sub:
            return self.struct(api, f.sub, version)
        return self.leaf(api, f)

    def leaf(self, api, f):
        r, name = self.r, f.name
        if f.type == "bool":
            return r.random() < 0.3
        if f.type == "uuid":
            return Id(r.choice(TOPICS[:6])) if r.random() < 0.9 or api == "Fetch" else uuid.UUID(int=0)
        if f.type == "records":
            return self.batch()
        if f.type == "string":
            return self.text(api, name)
        if f.type in ("bytes",):
            return b"bytes"
        if f.type == "float64":
            return float(r.choice([0, 1, 100]))
        return self.number(api, name)

    def batch(self):
        r = self.r
        records = [batches.Record(key=r.choice([None, b"k", b"key"]), value=r.choice([None, b"", b"value"]),
                                  time=1700000000000 + r.randint(0, 9)) for _ in range(r.randint(1, 4))]
        return batches.batch(records, codec=r.randint(0, 4))

    def text(self, api, name):
        r = self.r
        if name == "transactional_id":
            return None
        if name in ("name", "topic", "topic_names", "topic_name", "resource_name"):
            if api == "DescribeTopicPartitions":
                return r.choice([t for t in TOPICS + NEW if t])
            if api == "CreateTopics" and name == "name":
                return r.choice(NEW + TOPICS[:9] + CONFIGS)
            if api in ("DeleteTopics",):
                return r.choice(NEW + ["nothing", "bad name"])
            if api in ("AlterConfigs", "IncrementalAlterConfigs") and name == "name":
                return r.choice(CONFIGS)
            if api in ("AlterConfigs", "IncrementalAlterConfigs"):
                return r.choice(TOPICS[:6] + NEW)
            return r.choice(TOPICS + NEW)
        if name in ("value",):
            return r.choice(VALUES)
        if name in ("configuration_keys",):
            return r.choice(CONFIGS)
        if name in ("group_id", "group", "groups", "key", "coordinator_keys"):
            return r.choice(["group-a", "group-b", "simple5", "group c", ""])
        if name == "entity_type":
            return r.choice(["user", "client-id", "ip", "user", "x", ""])
        if name == "client_software_name":
            return r.choice(["oracle", "", "a b", "-x"])
        if name == "client_software_version":
            return r.choice(["1.0", "", "1 0", "x-"])
        return r.choice(["", "x", "word"])

    def number(self, api, name):
        r = self.r
        if name == "key_type":
            return r.choice([0, 0, 0, 9])
        if name in ("timeout_ms",):
            return 30000
        if name in ("max_wait_ms", "min_bytes"):
            return 0
        if name == "max_bytes":
            return r.choice([0, 1, 200, 1 << 20])
        if name in ("partition_max_bytes",):
            return r.choice([0, 1, 200, 1 << 20])
        if name in ("session_id",):
            return 0
        if name in ("session_epoch",):
            return -1
        if name in ("partition", "partition_index", "partitions", "index", "partition_indexes"):
            return r.choice([0, 0, 0, 1, 2, 3, 99, -1])
        if name in ("timestamp",):  # the largest one has a scene: below the log start it is a listed difference
            return r.choice([t for t in TIMES if t != -3])
        if name in ("current_leader_epoch", "leader_epoch", "last_fetched_epoch"):
            return r.choice([-1, -1, -1, 0, 1, 5])
        if name in ("fetch_offset", "offset"):
            return r.choice([0, 0, 1, 2, 5, 1000, -1])
        if name in ("replica_id", "log_start_offset"):
            return -1
        if name == "isolation_level":
            return r.choice([0, 0, 1])
        if name == "acks":
            return r.choice([1, -1, 1, -1, 7])
        if name == "num_partitions":
            return r.choice([-1, 1, 2, 3, 0])
        if name == "replication_factor":
            return r.choice([-1, 1, 1, 2, 0])
        if name in ("broker_ids", "replicas"):
            return r.choice([1, 1, 1, 7])
        if name == "count":
            return r.choice([1, 2, 3, 4, 5, 0, -1])
        if name == "resource_type":
            return 2 if "Alter" in api else r.choice([2, 2, 2, 4, 32])
        if name == "config_operation":
            return r.choice([0, 0, 1, 2, 3])
        if name == "endpoint_type":
            return r.choice([1, 1, 2, 9])
        if name == "response_partition_limit":
            return 2000
        if name == "transaction_timeout_ms":
            return r.choice([60000, 0, -1])
        if name == "producer_id":
            return -1
        if name in ("producer_epoch",):
            return -1
        if name == "transaction_version":
            return 0
        return r.choice([0, 1, -1, 2])
