import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;

/** A member of a group with Kafka's own client; see groups/README.md. usage: Member HOST:PORT GROUP TOPIC STRATEGY */
public class Member {
    static KafkaConsumer<byte[], byte[]> consumer;
    static volatile boolean stopping;

    static void assigned() {
        String owned = consumer.assignment().stream().map(TopicPartition::partition).sorted().map(String::valueOf)
            .collect(Collectors.joining(","));
        System.out.printf("{\"assigned\":[%s],\"generation\":%d}%n", owned, consumer.groupMetadata().generationId());
    }

    static class Listener implements ConsumerRebalanceListener {
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        }

        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assigned();
        }
    }

    static void process(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition p : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> of = records.records(p);
            System.out.printf("{\"partition\":%d,\"first\":%d,\"last\":%d,\"generation\":%d}%n", p.partition(),
                of.get(0).offset(), of.get(of.size() - 1).offset(), consumer.groupMetadata().generationId());
        }
        if (records.isEmpty())
            return;
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RebalanceInProgressException e) {
            // the records come again, to whoever owns them
            System.out.printf("{\"note\":\"commit: %s\"}%n", e.getClass().getSimpleName());
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> strategies = Map.of("range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", args[0], "group.id", args[1], "group.protocol", "classic",
            "auto.offset.reset", "earliest", "enable.auto.commit", "false", "max.poll.records", "100",
            "session.timeout.ms", "3000", "heartbeat.interval.ms", "300", "metadata.max.age.ms", "2000",
            "partition.assignment.strategy", strategies.get(args[3])));
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        consumer = new KafkaConsumer<>(settings);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            consumer.wakeup();
            try {
                main.join(20000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        consumer.subscribe(List.of(args[2]), new Listener());
        try {
            while (!stopping)
                process(consumer.poll(Duration.ofMillis(200)));
        } catch (WakeupException e) {
            // the end was asked for
        }
        consumer.close();
        System.out.println("{\"left\":true}");
    }
}
