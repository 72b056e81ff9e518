// WireOracle.java: fills every message of kafka-clients with random values, in every stable version, and writes what that
// library makes of it to a file: name, version, bytes. The C program beside it must decode and re-encode the same bytes.
// usage: java -cp 'lib/*' WireOracle.java OUT ROUNDS SEED
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.message.ControlRecordTypeSchema;
import org.apache.kafka.common.message.EndTxnMarker;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.NullableSchema;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class WireOracle {
    interface Maker { Message make() throws Exception; }

    final Random random;
    final DataOutputStream out;
    final int rounds;
    long written;

    WireOracle(DataOutputStream out, int rounds, long seed) {
        this.out = out;
        this.rounds = rounds;
        this.random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(args[0]), 1 << 20))) {
            WireOracle o = new WireOracle(out, Integer.parseInt(args[1]), Long.parseLong(args[2]));
            for (ApiMessageType t : ApiMessageType.values()) {
                if (t.lowestSupportedVersion() > t.highestSupportedVersion(false))
                    continue;
                o.all(t::newRequest, t.lowestSupportedVersion(), t.highestSupportedVersion(false));
                o.all(t::newResponse, t.lowestSupportedVersion(), t.highestSupportedVersion(false));
            }
            Maker[] others = {RequestHeaderData::new, ResponseHeaderData::new, ConsumerProtocolSubscription::new,
                ConsumerProtocolAssignment::new, ControlRecordTypeSchema::new, EndTxnMarker::new};
            for (Maker m : others)
                o.all(m, m.make().lowestSupportedVersion(), m.make().highestSupportedVersion());
            System.err.println(o.written + " messages written by kafka-clients");
        }
    }

    void all(Maker maker, short first, short last) throws Exception {
        Schema[] schemas = (Schema[]) maker.make().getClass().getField("SCHEMAS").get(null);
        String name = maker.make().getClass().getSimpleName().replaceFirst("Data$", "");
        for (short v = first; v <= last; v++) {
            for (int i = 0; i < rounds; i++) {
                Message m = maker.make();
                // The first one stays as the library made it: all defaults, where they can be written.
                if (i > 0 || !writable(m, v))
                    fill(m, schemas[v]);
                write(name, v, m);
            }
        }
    }

    static boolean writable(Message m, short v) {
        try {
            bytes(m, v);
            return true;
        } catch (RuntimeException e) {
            return false;
        }
    }

    static ByteBuffer bytes(Message m, short v) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer b = ByteBuffer.allocate(m.size(cache, v));
        m.write(new ByteBufferAccessor(b), cache, v);
        if (b.hasRemaining())
            throw new IllegalStateException("size and write disagree for " + m.getClass());
        b.flip();
        return b;
    }

    void write(String name, short v, Message m) throws Exception {
        ByteBuffer b = bytes(m, v);
        out.writeUTF(name);
        out.writeShort(v);
        out.writeInt(b.remaining());
        out.write(b.array(), 0, b.limit());
        written++;
    }

    // ---- filling: the schema says what a version has, the setters what the values are ----

    void fill(Object o, Schema s) throws Exception {
        for (BoundField f : s.fields()) {
            if (f.def instanceof Field.TaggedFieldsSection) {
                for (Field tagged : ((TaggedFields) f.def.type).fields().values())
                    if (random.nextBoolean())
                        set(o, tagged);
            } else {
                set(o, f.def);
            }
        }
    }

    void set(Object o, Field f) throws Exception {
        String wanted = "set" + f.name.replace("_", "");
        for (Method m : o.getClass().getMethods()) {
            if (m.getName().equalsIgnoreCase(wanted) && m.getParameterCount() == 1) {
                m.invoke(o, value(f.type, m.getGenericParameterTypes()[0]));
                return;
            }
        }
        throw new IllegalStateException("no setter for " + f.name + " in " + o.getClass());
    }

    Object value(org.apache.kafka.common.protocol.types.Type t, Type java) throws Exception {
        if (t.isNullable() && random.nextInt(4) == 0)
            return null;
        if (t.isArray())
            return array(t.arrayElementType().get(), java);
        if (t instanceof Schema || t instanceof NullableSchema)
            return struct(t, (Class<?>) java);
        Class<?> c = (Class<?>) java;
        if (c == boolean.class || c == Boolean.class)
            return random.nextBoolean();
        if (c == byte.class || c == Byte.class)
            return (byte) random.nextInt();
        if (c == short.class || c == Short.class)
            return (short) random.nextInt();
        if (c == int.class || c == Integer.class)
            return t.toString().equals("UINT16") ? random.nextInt(65536) : random.nextInt();
        if (c == long.class || c == Long.class)
            return random.nextLong();
        if (c == double.class || c == Double.class)
            return (random.nextDouble() - 0.5) * 1e30;
        if (c == Uuid.class)
            return new Uuid(random.nextLong(), random.nextLong());
        if (c == String.class)
            return string();
        if (c == byte[].class)
            return someBytes();
        if (c == ByteBuffer.class)
            return ByteBuffer.wrap(someBytes());
        if (c == BaseRecords.class)
            return MemoryRecords.readableRecords(ByteBuffer.wrap(someBytes()));
        throw new IllegalStateException("no value for " + t + " as " + java);
    }

    Object struct(org.apache.kafka.common.protocol.types.Type t, Class<?> c) throws Exception {
        Object o = c.getDeclaredConstructor().newInstance();
        fill(o, schemaOf(t));
        return o;
    }

    static Schema schemaOf(org.apache.kafka.common.protocol.types.Type t) throws Exception {
        if (t instanceof Schema)
            return (Schema) t;
        java.lang.reflect.Field f = NullableSchema.class.getDeclaredField("schema");
        f.setAccessible(true);
        return (Schema) f.get(t);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    Object array(org.apache.kafka.common.protocol.types.Type element, Type java) throws Exception {
        Collection list;
        Type inner;
        if (java instanceof ParameterizedType) {
            list = new ArrayList<>();
            inner = ((ParameterizedType) java).getActualTypeArguments()[0];
        } else { // a collection class of the message
            Class<?> c = (Class<?>) java;
            list = (Collection) c.getDeclaredConstructor().newInstance();
            inner = ((ParameterizedType) c.getGenericSuperclass()).getActualTypeArguments()[0];
        }
        for (int n = random.nextInt(4); n > 0; n--)
            list.add(value(element, inner));
        return list;
    }

    String string() {
        StringBuilder b = new StringBuilder();
        for (int n = random.nextInt(40) == 0 ? 200 : random.nextInt(12); n > 0; n--)
            b.appendCodePoint(random.nextInt(10) == 0 ? 0x20ac : 'a' + random.nextInt(26));
        return b.toString();
    }

    byte[] someBytes() {
        byte[] b = new byte[random.nextInt(40) == 0 ? 300 : random.nextInt(20)];
        random.nextBytes(b);
        return b;
    }
}
