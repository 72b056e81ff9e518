"""oracle.py: asks both brokers the same and compares what they answer, field by field. What may differ stands in
differences.tsv with a reason; what a broker draws by itself (ids, ports, the present time) is replaced by names first, in
the order of appearance, so that it must differ in the same places."""
import fnmatch
import re
import time
import uuid
import zlib

import batches
import messages
from peers import Closed, Connection

# What identifies an element of an array, best first: order is not compared where a name is.
KEYS = ("api_key", "name", "topic", "topic_name", "group_id", "group", "member_id", "resource_name", "config_name", "topic_id",
        "partition_index", "partition", "index", "key", "node_id", "broker_id", "log_dir", "producer_id", "config_key",
        "feature", "resource_type", "replica_id")
IN_ORDER = {"synonyms", "records", "batches"}
# Asking again changes nothing: Kafka's caches may lag behind its controller for a moment.
READS = {"Metadata", "ListOffsets", "DescribeConfigs", "DescribeLogDirs", "DescribeTopicPartitions", "DescribeCluster",
         "DescribeProducers", "OffsetForLeaderEpoch", "ListConfigResources", "ApiVersions", "Fetch", "DescribeQuorum",
         "ListPartitionReassignments", "DescribeGroups", "ListGroups", "OffsetFetch", "FindCoordinator", "DescribeAcls",
         "DescribeClientQuotas", "DescribeUserScramCredentials", "ElectLeaders"}
CHANGES_TOPICS = {"CreateTopics", "DeleteTopics", "CreatePartitions"}
LOADING = 14  # Kafka has no producer ids yet
NOW_MS = 20 * 60 * 1000


NOBODY = uuid.UUID(int=0x0123456789AB4CDE8123456789ABCDEF)


class Id:
    """In a request: the id that each broker gave a topic."""

    def __init__(self, topic):
        self.topic = topic

    def __repr__(self):
        return f"Id({self.topic})"


class Each:
    """In a request: a value for each broker, fn(side)."""

    def __init__(self, fn):
        self.fn = fn

    def __repr__(self):
        return "Each"


class Side:
    """One broker as the comparison sees it."""

    def __init__(self, peer):
        self.peer, self.connection = peer, None
        self.names, self.ids, self.memory = {}, {}, {}
        self.now = 0.0  # when the last answer came

    def resolve(self, value):
        if isinstance(value, Id):
            return self.ids.get(value.topic, NOBODY)
        if isinstance(value, Each):
            return value.fn(self)
        if isinstance(value, dict):
            return {k: self.resolve(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.resolve(v) for v in value]
        return value

    def ask(self, api, version, body, answered=True, client="oracle"):
        if self.connection is None or self.connection.client != client:
            if self.connection:
                self.connection.close()
            self.connection = Connection(self.peer, client)
        self.now = time.time()
        body = self.resolve(body) if not isinstance(body, bytes) else body
        try:
            answer = self.connection.ask(api, version, body, answered)
            end = time.monotonic() + 5
            while api == "InitProducerId" and answer["error_code"] == LOADING and time.monotonic() < end:
                time.sleep(0.05)
                answer = self.connection.ask(api, version, body)
            return answer
        except Closed:
            self.drop()
            return {"connection": "closed"}
        except TimeoutError:
            self.drop()
            return {"connection": "no answer in time"}
        except messages.Malformed as e:
            self.drop()
            return {"connection": f"malformed: {e}"}

    def begin(self, api, version, body):
        """Sends a request on a connection of its own; what is returned waits for its answer."""
        other = Side(self.peer)
        other.connection = Connection(self.peer, "oracle")
        other.connection.send(api, version, self.resolve(body))

        def finish():
            try:
                return other.connection.answer(api, version)
            except Closed:
                return {"connection": "closed"}
            except TimeoutError:
                return {"connection": "no answer in time"}
            finally:
                other.drop()
        return finish

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def settle(self, want):
        """Until the broker shows what it said: {topic: partitions, 0 when it is gone}, each with a leader."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            answer = self.ask("Metadata", 12, {"topics": None, "allow_auto_topic_creation": False})
            topics = {t["name"]: t for t in answer["topics"]}
            self.ids.update({n: t["topic_id"] for n, t in topics.items()})
            self.names.setdefault("id", {}).update({t["topic_id"]: f"id of {n}" for n, t in topics.items()})
            led = {n: sum(p["error_code"] == 0 for p in t["partitions"]) for n, t in topics.items()}
            if all(led[n] == len(topics[n]["partitions"]) for n in led) and \
                    all(led.get(n, 0) >= count if count else n not in led for n, count in want.items()):
                return
            time.sleep(0.02)

    def name_of(self, kind, value):
        known = self.names.setdefault(kind, {})
        return known.setdefault(value, f"{kind}#{len(known)}")

    # ---- making answers comparable ----

    def order(self, row):
        ids = [v for v in row.values() if isinstance(v, uuid.UUID)]
        return [str(row[k]) for k in KEYS if k in row and not isinstance(row[k], (uuid.UUID, list))] + \
            [str(v) for v in row.values() if isinstance(v, (str, int))] + \
            ["" if v == NOBODY or not v.int else self.names.get("id", {}).get(v, "") for v in ids] + [str(v == NOBODY) for v in ids]

    def plain(self, name, value):
        if isinstance(value, dict):
            known, topic = value.get("topic_id"), value.get("name") or value.get("topic")
            if topic and known and known.int:
                self.names.setdefault("id", {})[known] = f"id of {topic}"
            return {k: self.plain(k, v) for k, v in value.items()}
        if isinstance(value, list):
            if name == "responses":
                value = merged(value)
            rows = sorted(value, key=self.order) if value and isinstance(value[0], dict) and name not in IN_ORDER else value
            return [self.plain(name, v) for v in rows]
        if isinstance(value, uuid.UUID):
            if value == NOBODY:
                return "unknown id"
            return "none" if value.int == 0 else self.name_of("id", value)
        if name == "records" and isinstance(value, bytes):
            return self.plain("batches", batches.read(value))
        if name == "cluster_id":
            return "cluster"
        if name == "producer_id" and isinstance(value, int) and 0 <= value < 1 << 40:
            return self.name_of("producer", value)
        if name in ("member_id", "leader") and isinstance(value, str) and value:
            return self.name_of("member", value)
        if name in ("port", "controller_port") and value == self.peer.port:
            return "port"
        if name in ("total_bytes", "usable_bytes"):
            return "bytes" if value > 0 else value
        if isinstance(value, str):
            value = re.sub(r"should be within \[-?\d+, -?\d+\]", "should be within [now, now]", value)
            value = re.sub(r"\b\d{13}\b", self.about_now, value)
            return re.sub(r"\b[A-Za-z0-9_-]{22}\b", self.id_text, value.replace(self.peer.work, "WORK")) \
                .replace(str(self.peer.port), "port")
        if isinstance(value, int) and abs(value - self.now * 1000) < NOW_MS:
            return "now"
        return value

    def about_now(self, match):
        return "now" if abs(int(match[0]) - self.now * 1000) < 3 * 86400 * 1000 else match[0]

    def id_text(self, match):
        """A topic's id in a sentence, as base64."""
        for known, name in self.names.get("id", {}).items():
            if messages_id(known) == match[0]:
                return name
        return match[0]


def merged(rows):
    """Fetch may tell a topic twice, what failed apart."""
    out = {}
    for row in rows:
        key = str(row.get("topic_id") or row.get("topic"))
        if isinstance(row, dict) and "partitions" in row and key in out:
            out[key] = {**row, "partitions": out[key]["partitions"] + row["partitions"]}
        else:
            out[key if isinstance(row, dict) and "partitions" in row else len(out)] = row
    return list(out.values())


def messages_id(value):
    import base64
    return base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")


def label(row):
    for k in KEYS:
        if row.get(k) not in (None, "", "none") and not isinstance(row[k], (list, dict)):
            return str(row[k])
    return None


def flat(value, path="", out=None):
    """{path: leaf}; elements of arrays by what identifies them."""
    out = {} if out is None else out
    if isinstance(value, dict):
        for k, v in value.items():
            flat(v, f"{path}.{k}" if path else k, out)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        seen = {}
        by_place = path.rpartition(".")[2] in IN_ORDER
        for i, v in enumerate(value):
            word = str(i) if by_place else label(v) or str(i)
            seen[word] = seen.get(word, 0) + 1
            flat(v, f"{path}[{word}]" if seen[word] == 1 else f"{path}[{word}~{seen[word]}]", out)
    else:
        out[path] = tuple(value) if isinstance(value, list) else value
    return out


ABSENT = "(absent)"


def compare(kafka, chronik):
    a, b = flat(kafka), flat(chronik)
    return [(p, a.get(p, ABSENT), b.get(p, ABSENT)) for p in {**a, **b} if a.get(p, ABSENT) != b.get(p, ABSENT)]


class Allowed:
    """The rows of differences.tsv."""

    def __init__(self, path):
        self.rows, self.used = [], {}
        for n, line in enumerate(open(path, encoding="utf-8"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            cells = line.rstrip("\n").split("\t")
            assert len(cells) == 5, f"{path}:{n}: five columns are wanted: API, field, Kafka, chronik, reason"
            self.rows.append(cells)

    def has(self, api, path, kafka, chronik):
        bare = path.replace("[", "(").replace("]", ")")  # brackets mean something to fnmatch
        for i, (row_api, row_path, row_kafka, row_chronik, _) in enumerate(self.rows):
            if fnmatch.fnmatchcase(api, row_api) and \
                    fnmatch.fnmatchcase(bare, row_path.replace("[", "(").replace("]", ")")) and \
                    fits(row_kafka, kafka) and fits(row_chronik, chronik):
                self.used[i] = self.used.get(i, 0) + 1
                return True
        return False


def fits(pattern, value):
    return fnmatch.fnmatchcase(str(value).replace("[", "(").replace("]", ")"),
                               pattern.replace("[", "(").replace("]", ")"))


class Recorded(Side):
    """Kafka as it answered in an earlier run: for quick work on chronik. It knows only the requests of that run."""

    def __init__(self, peer, answers):
        super().__init__(peer)
        self.answers, self.at = answers, {}

    def ask(self, api, version, body, answered=True, client="oracle"):
        key = f"{api} {version} {short(body)}"
        at = self.at[key] = self.at.get(key, -1) + 1
        if at >= len(self.answers.get(key, ())):
            return {"recording": "has no such request"}
        self.now, answer = self.answers[key][at]
        return answer

    def begin(self, api, version, body):
        answer = self.ask(api, version, body)
        return lambda: answer

    def settle(self, want):
        pass


class Oracle:
    """Both brokers in step."""

    def __init__(self, kafka, chronik, allowed):
        """Both are sides."""
        self.kafka, self.chronik, self.allowed, self.recording, self.tries = kafka, chronik, allowed, {}, 12
        self.count, self.fields, self.findings, self.apis = 0, 0, {}, {}
        self.scene = ""

    @property
    def sides(self):
        return (self.kafka, self.chronik)

    def ask(self, api, version, body, **how):
        """Asks both; returns both answers as they came. Differences are noted."""
        self.count += 1
        self.apis.setdefault(api, set()).add(version)
        answers = [s.ask(api, version, body, **how) for s in self.sides]
        tries = self.tries if api in READS else 1
        for left in reversed(range(tries)):
            plain = [s.plain("", a) for s, a in zip(self.sides, answers)]
            found = [d for d in compare(*plain) if not self.allowed.has(api, *d)]
            if not found or not left:
                break
            time.sleep(0.05)
            if isinstance(self.kafka, Recorded):
                answers[1] = self.chronik.ask(api, version, body, **how)
            else:
                answers = [s.ask(api, version, body, **how) for s in self.sides]
        if answers[0].get("recording"):
            return answers
        self.note(api, version, body, answers[0], plain[0], found)
        if "connection" in answers[0] or "connection" in answers[1]:
            for s in self.sides:
                s.drop()
        if api in CHANGES_TOPICS:
            for s, answer in zip(self.sides, answers):
                s.settle(wanted(api, body, answer))
        return answers

    def note(self, api, version, body, answer, plain, found):
        self.recording.setdefault(f"{api} {version} {short(body)}", []).append((self.kafka.now, answer))
        self.fields += len(flat(plain))
        for path, a, b in found:
            key = (api, re.sub(r"\[[^]]*\]", "[]", path), str(a)[:160], str(b)[:160])
            first = self.findings.setdefault(key, [0, f"{self.scene}: version {version}: {short(body)}", path])
            first[0] += 1

    def while_waiting(self, api, version, body, during):
        """Asks both on connections of their own something that waits, and takes the answers when during() is over."""
        self.count += 1
        self.apis.setdefault(api, set()).add(version)
        waiting = [s.begin(api, version, body) for s in self.sides]
        during()
        answers = [finish() for finish in waiting]
        if not answers[0].get("recording"):
            plain = [s.plain("", a) for s, a in zip(self.sides, answers)]
            found = [d for d in compare(*plain) if not self.allowed.has(api, *d)]
            self.note(api, version, body, answers[0], plain[0], found)
        return answers

    def all(self, api, body, versions=None):
        """In every version; body may be a function of the version. Returns the answers of the last."""
        low, high = messages.APIS[api].versions
        answers = None
        for v in versions or range(low, high + 1):
            answers = self.ask(api, v, body(v) if callable(body) else body)
        return answers

    def settle(self):
        for s in self.sides:
            s.settle({})


def wanted(api, body, answer):
    """What a broker's answer to a change of topics promises of its metadata."""
    if isinstance(body, bytes) or body.get("validate_only") or "connection" in answer:
        return {}
    if api == "CreateTopics":
        return {t["name"]: 1 for t in answer["topics"] if t["error_code"] == 0}
    if api == "DeleteTopics":
        return {t["name"]: 0 for t in answer["responses"] if t["error_code"] == 0}
    counts = {t["name"]: t["count"] for t in body["topics"]}
    return {t["name"]: counts[t["name"]] for t in answer["results"] if t["error_code"] == 0}


def short(value):
    text = re.sub(r"UUID\('([^']*)'\)|<function .*?>", r"\1", str(value) if not isinstance(value, bytes) else value.hex())
    return text if len(text) < 600 else text[:600] + f"… {zlib.crc32(text.encode())}"
