import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

/** Kafka's own Java client: every codec and acks, idempotence, headers, null keys, 1 MB records, read back by assigned
 *  partitions; and the admin calls of one broker. usage: RoundTrip HOST:PORT. Prints TAP. */
public class RoundTrip {
    static final int PARTITIONS = 3, COUNT = 400;
    static String broker;
    static int number = 0, bad = 0;

    interface Case { void run() throws Exception; }

    static void test(String name, Case c) {
        number++;
        try {
            c.run();
            System.out.println("ok " + number + " - java " + name);
        } catch (Throwable e) {
            bad++;
            System.out.println("not ok " + number + " - java " + name + ": " + e);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static List<ProducerRecord<byte[], byte[]>> records(String topic) {
        Random rnd = new Random(7);
        int[] sizes = {0, 1, 10, 100, 1000, 10000};
        List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            byte[] value = new byte[i == COUNT / 2 ? 1000000 : sizes[rnd.nextInt(sizes.length)]];
            for (int k = 0; k < value.length / 2; k++) value[k] = (byte) rnd.nextInt();
            byte[] key = i % 3 == 0 ? null : ("key-" + i).getBytes(StandardCharsets.UTF_8);
            ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, i % PARTITIONS, key, value);
            if (i % 5 == 0) r.headers().add("h", ("" + i).getBytes(StandardCharsets.UTF_8)).add("null", null);
            out.add(r);
        }
        return out;
    }

    static void produce(List<ProducerRecord<byte[], byte[]>> records, String codec, String acks, boolean idempotent) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", broker);
        p.put("compression.type", codec);
        p.put("acks", acks);
        p.put("enable.idempotence", "" + idempotent);
        p.put("max.request.size", "2000000");
        p.put("linger.ms", "5");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> waits = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> r : records) waits.add(producer.send(r));
            producer.flush();
            for (Future<RecordMetadata> w : waits) w.get(60, TimeUnit.SECONDS);
        }
    }

    static Map<Integer, List<ConsumerRecord<byte[], byte[]>>> consume(String topic, int n) {
        Properties p = new Properties();
        p.put("bootstrap.servers", broker);
        p.put("max.partition.fetch.bytes", "2000000");
        p.put("enable.auto.commit", "false");
        Map<Integer, List<ConsumerRecord<byte[], byte[]>>> out = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> parts = new ArrayList<>();
            for (int i = 0; i < PARTITIONS; i++) parts.add(new TopicPartition(topic, i));
            c.assign(parts);
            c.seekToBeginning(parts);
            int got = 0;
            long end = System.currentTimeMillis() + 60000;
            while (got < n && System.currentTimeMillis() < end)
                for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(500))) {
                    out.computeIfAbsent(r.partition(), x -> new ArrayList<>()).add(r);
                    got++;
                }
            check(got == n, "sent " + n + " records, read " + got);
        }
        return out;
    }

    static void roundTrip(Admin admin, String topic, String codec, String acks, boolean idempotent) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get(30, TimeUnit.SECONDS);
        List<ProducerRecord<byte[], byte[]>> sent = records(topic);
        produce(sent, codec, acks, idempotent);
        Map<Integer, List<ConsumerRecord<byte[], byte[]>>> got = consume(topic, sent.size());
        int[] at = new int[PARTITIONS];
        for (ProducerRecord<byte[], byte[]> s : sent) {
            ConsumerRecord<byte[], byte[]> g = got.get(s.partition()).get(at[s.partition()]);
            String where = "partition " + s.partition() + " offset " + g.offset() + ": ";
            check(g.offset() == at[s.partition()]++, where + "offsets have a hole");
            check(Arrays.equals(s.key(), g.key()), where + "another key");
            check(Arrays.equals(s.value(), g.value()), where + "another value");
            Iterator<Header> h = g.headers().iterator();
            for (Header a : s.headers()) {
                Header b = h.next();
                check(a.key().equals(b.key()) && Arrays.equals(a.value(), b.value()), where + "another header");
            }
            check(!h.hasNext(), where + "too many headers");
        }
    }

    static <T> T get(KafkaFuture<T> f) throws Exception {
        return f.get(30, TimeUnit.SECONDS);
    }

    static void adminCalls(Admin admin) {
        String topic = "java-admin";
        TopicPartition tp = new TopicPartition(topic, 0);
        ConfigResource res = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        test("admin describeCluster", () -> {
            check(get(admin.describeCluster().nodes()).size() == 1, "one node");
            check(get(admin.describeCluster().clusterId()).length() == 22, "a cluster id");
        });
        test("admin createTopics with configs", () -> {
            CreateTopicsResult r = admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "12345"))));
            get(r.all());
            check(get(r.numPartitions(topic)) == 2, "2 partitions");
            check(get(r.config(topic)).get("retention.ms").value().equals("12345"), "the config in the answer");
        });
        test("admin describeTopics by name and id", () -> {
            TopicDescription d = get(admin.describeTopics(List.of(topic)).topicNameValues().get(topic));
            check(d.partitions().size() == 2 && d.partitions().get(0).leader() != null, "two led partitions");
            check(get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(d.topicId()))).topicIdValues().get(d.topicId())).name().equals(topic), "by id");
        });
        test("admin createPartitions", () -> {
            get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
            check(get(admin.describeTopics(List.of(topic)).topicNameValues().get(topic)).partitions().size() == 5, "5 partitions");
        });
        test("admin incrementalAlterConfigs and describeConfigs", () -> {
            get(admin.incrementalAlterConfigs(Map.of(res, List.of(
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE)))).all());
            Config c = get(admin.describeConfigs(List.of(res)).all()).get(res);
            check(c.get("max.message.bytes").value().equals("2000"), "set");
            check(c.get("max.message.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
            check(c.get("retention.ms").value().equals("604800000"), "deleted: the default again");
        });
        test("max.message.bytes takes effect", () -> {
            long end = System.currentTimeMillis() + 10000;
            boolean refused = false;
            while (!refused && System.currentTimeMillis() < end)
                try {
                    produce(List.of(new ProducerRecord<>(topic, 0, null, new byte[5000])), "none", "all", true);
                } catch (ExecutionException e) {
                    refused = e.getCause() instanceof org.apache.kafka.common.errors.RecordTooLargeException;
                }
            check(refused, "a record above max.message.bytes is refused");
        });
        test("admin broker configs, dynamic and back", () -> {
            ConfigResource b = new ConfigResource(ConfigResource.Type.BROKER, "1");
            get(admin.incrementalAlterConfigs(Map.of(b, List.of(new AlterConfigOp(new ConfigEntry("log.retention.ms", "77777"), AlterConfigOp.OpType.SET)))).all());
            Config c = get(admin.describeConfigs(List.of(b), new DescribeConfigsOptions().includeSynonyms(true)).all()).get(b);
            check(c.get("log.retention.ms").value().equals("77777"), "set: " + c.get("log.retention.ms"));
            check(c.get("log.retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG, "its source");
            check(c.get("node.id").value().equals("1") && c.get("node.id").isReadOnly(), "node.id");
            get(admin.incrementalAlterConfigs(Map.of(b, List.of(new AlterConfigOp(new ConfigEntry("log.retention.ms", null), AlterConfigOp.OpType.DELETE)))).all());
        });
        test("admin listOffsets", () -> {
            long t0 = 1700000000000L;
            List<ProducerRecord<byte[], byte[]>> rs = new ArrayList<>();
            for (int i = 0; i < 10; i++) rs.add(new ProducerRecord<>(topic, 1, t0 + i * 1000, null, new byte[10]));
            produce(rs, "none", "all", true);
            TopicPartition p1 = new TopicPartition(topic, 1);
            check(get(admin.listOffsets(Map.of(p1, OffsetSpec.latest())).partitionResult(p1)).offset() == 10, "latest");
            check(get(admin.listOffsets(Map.of(p1, OffsetSpec.earliest())).partitionResult(p1)).offset() == 0, "earliest");
            check(get(admin.listOffsets(Map.of(p1, OffsetSpec.forTimestamp(t0 + 4500))).partitionResult(p1)).offset() == 5, "by time");
            check(get(admin.listOffsets(Map.of(p1, OffsetSpec.maxTimestamp())).partitionResult(p1)).offset() == 9, "max timestamp");
        });
        test("admin deleteRecords", () -> {
            TopicPartition p1 = new TopicPartition(topic, 1);
            check(get(admin.deleteRecords(Map.of(p1, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(p1)).lowWatermark() == 4, "low watermark");
            check(get(admin.listOffsets(Map.of(p1, OffsetSpec.earliest())).partitionResult(p1)).offset() == 4, "earliest");
        });
        test("admin describeLogDirs", () -> {
            Map<String, LogDirDescription> d = get(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1);
            check(d.size() == 1 && d.values().iterator().next().replicaInfos().containsKey(tp), "the topic's partitions");
            check(d.values().iterator().next().totalBytes().getAsLong() > 0, "its size");
        });
        test("admin describeProducers", () -> {
            TopicPartition p1 = new TopicPartition(topic, 1);
            check(get(admin.describeProducers(List.of(p1)).partitionResult(p1)).activeProducers().size() == 1, "one producer");
        });
        test("admin deleteTopics", () -> {
            get(admin.deleteTopics(List.of(topic)).all());
            check(!get(admin.listTopics().names()).contains(topic), "gone");
        });
        test("admin errors name what is wrong", () -> {
            try {
                get(admin.createTopics(List.of(new NewTopic("bad name!", 1, (short) 1))).all());
                check(false, "refused");
            } catch (ExecutionException e) {
                check(e.getCause() instanceof org.apache.kafka.common.errors.InvalidTopicException, "" + e.getCause());
            }
            try {
                get(admin.createTopics(List.of(new NewTopic("rf3", 1, (short) 3))).all());
                check(false, "refused");
            } catch (ExecutionException e) {
                check(e.getCause() instanceof org.apache.kafka.common.errors.InvalidReplicationFactorException, "" + e.getCause());
            }
        });
    }

    public static void main(String[] args) throws Exception {
        broker = args[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
                for (String acks : List.of("0", "1", "all"))
                    test(codec + " acks=" + acks, () -> roundTrip(admin, "java-" + codec + "-" + acks, codec, acks, false));
            test("zstd acks=all idempotent", () -> roundTrip(admin, "java-idempotent", "zstd", "all", true));
            adminCalls(admin);
        }
        System.out.println("1.." + number);
        System.exit(bad > 0 ? 1 : 0);
    }
}
