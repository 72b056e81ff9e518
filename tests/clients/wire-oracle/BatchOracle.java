// BatchOracle.java: the same game as WireOracle.java for record batches. `write` makes random batches of every codec; the C
// program walks them, builds them again itself, plain and packed; `read` then walks those, and the plain ones must be byte for
// byte what this library would have built.
// usage: java -cp 'lib/*' BatchOracle.java write|read FILE [ROUNDS SEED]
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.ByteBuffer;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

public class BatchOracle {
    static final int ROOM = 1 << 22;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write"))
            write(args[1], Integer.parseInt(args[2]), new Random(Long.parseLong(args[3])));
        else
            read(args[1]);
    }

    static void write(String file, int rounds, Random random) throws Exception {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(file)))) {
            for (int i = 0; i < rounds; i++)
                for (CompressionType type : CompressionType.values())
                    put(out, random(random, type));
        }
    }

    static void put(DataOutputStream out, ByteBuffer b) throws Exception {
        out.writeInt(b.remaining());
        out.write(b.array(), b.arrayOffset() + b.position(), b.remaining());
    }

    static ByteBuffer random(Random r, CompressionType type) {
        boolean idempotent = r.nextBoolean();
        MemoryRecordsBuilder b = builder(type, r.nextInt(1000), idempotent ? r.nextInt(9000) : -1L,
            idempotent ? (short) r.nextInt(100) : (short) -1, idempotent ? r.nextInt(1 << 30) : -1, idempotent && r.nextBoolean(),
            r.nextInt(100));
        long now = 1700000000000L;
        int records = 1 + r.nextInt(r.nextInt(20) == 0 ? 2000 : 20);
        for (int i = 0; i < records; i++) {
            Header[] headers = new Header[r.nextInt(10) == 0 ? r.nextInt(4) : 0];
            for (int k = 0; k < headers.length; k++)
                headers[k] = new RecordHeader("h" + r.nextInt(1000), bytes(r, 30));
            b.append(now + r.nextInt(2000) - 1000, bytes(r, 20), bytes(r, r.nextInt(50) == 0 ? 70000 : 200), headers);
        }
        return b.build().buffer();
    }

    static MemoryRecordsBuilder builder(CompressionType type, long base, long producer, short epoch, int sequence,
                                        boolean transactional, int leaderEpoch) {
        return MemoryRecords.builder(ByteBuffer.allocate(ROOM), RecordBatch.MAGIC_VALUE_V2, Compression.of(type).build(),
            TimestampType.CREATE_TIME, base, RecordBatch.NO_TIMESTAMP, producer, epoch, sequence, transactional, leaderEpoch);
    }

    /** Null, or compressible bytes. */
    static byte[] bytes(Random r, int most) {
        if (r.nextInt(5) == 0)
            return null;
        byte[] b = new byte[r.nextInt(most)];
        for (int i = 0; i < b.length; i++)
            b[i] = (byte) ('a' + r.nextInt(1 + r.nextInt(26)));
        return b;
    }

    static void read(String file) throws Exception {
        long n = 0, differ = 0;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(file)))) {
            for (;; n++) {
                ByteBuffer plain = take(in);
                if (plain == null)
                    break;
                ByteBuffer packed = take(in);
                if (!plain.equals(again(plain)) || !plain.equals(again(packed)))
                    differ++;
            }
        }
        System.out.println(n + " batches, " + differ + " differ for kafka-clients");
        System.exit(n > 0 && differ == 0 ? 0 : 1);
    }

    static ByteBuffer take(DataInputStream in) throws Exception {
        try {
            byte[] b = new byte[in.readInt()];
            in.readFully(b);
            return ByteBuffer.wrap(b);
        } catch (EOFException e) {
            return null;
        }
    }

    /** The batch as this library would have built it without compression. */
    static ByteBuffer again(ByteBuffer bytes) {
        MutableRecordBatch batch = MemoryRecords.readableRecords(bytes.duplicate()).batches().iterator().next();
        batch.ensureValid();
        MemoryRecordsBuilder b = builder(CompressionType.NONE, batch.baseOffset(), batch.producerId(), batch.producerEpoch(),
            batch.baseSequence(), batch.isTransactional(), batch.partitionLeaderEpoch());
        for (Record r : batch)
            b.append(r.timestamp(), r.key(), r.value(), r.headers());
        return b.build().buffer();
    }
}
