// kafkajs and @platformatic/kafka produce; what they wrote is read back by the caller. usage: produce.mjs CLIENT HOST:PORT TOPIC
// Writes 300 records, record i to partition i % 3, with key "key-i" (null when i % 3 is 0) and value "value-i-" and x's.
const [client, broker, topic] = process.argv.slice(2)
const records = Array.from({ length: 300 }, (_, i) => ({
  partition: i % 3,
  key: i % 3 === 0 ? null : `key-${i}`,
  value: `value-${i}-` + 'x'.repeat((i * 37) % 2000),
  headers: i % 5 === 0 ? { h: `${i}` } : {}
}))

async function kafkajs (compressed, acks) {
  const { Kafka, CompressionTypes, logLevel } = (await import('kafkajs')).default
  const kafka = new Kafka({ clientId: 'test', brokers: [broker], logLevel: logLevel.ERROR })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] })
  await admin.disconnect()
  const producer = kafka.producer({ idempotent: acks === -1 })
  await producer.connect()
  await producer.send({ topic, acks, messages: records, compression: compressed ? CompressionTypes.GZIP : CompressionTypes.None })
  await producer.disconnect()
}

async function platformatic (compression, acks) {
  const { Admin, Producer, stringSerializers } = await import('@platformatic/kafka')
  const options = { clientId: 'test', bootstrapBrokers: [broker] }
  const admin = new Admin(options)
  await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
  await admin.close()
  const producer = new Producer({ ...options, serializers: stringSerializers, compression, acks, idempotent: acks === -1 })
  const messages = records.map(r => ({ topic, partition: r.partition, value: r.value, headers: r.headers, ...(r.key === null ? {} : { key: r.key }) }))
  await producer.send({ messages, acks, compression })
  await producer.close()
}

const [name, codec, acks] = client.split(':')
if (name === 'kafkajs') await kafkajs(codec === 'gzip', Number(acks))
else await platformatic(codec, Number(acks))
