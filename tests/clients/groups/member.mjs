// A member of a group with kafkajs or @platformatic/kafka; see groups/README.md. usage: member.mjs CLIENT HOST:PORT GROUP TOPIC STRATEGY
const [client, broker, groupId, topic, strategy] = process.argv.slice(2)
const say = what => process.stdout.write(JSON.stringify(what) + '\n')
const note = e => say({ note: `${e?.message ?? e}` })

async function kafkajs () {
  const { Kafka, logLevel } = (await import('kafkajs')).default
  const kafka = new Kafka({ clientId: 'member', brokers: [broker], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, retries: 20 } })
  const consumer = kafka.consumer({ groupId, sessionTimeout: 3000, rebalanceTimeout: 10000, heartbeatInterval: 1, maxWaitTimeInMs: 200, metadataMaxAge: 2000 })
  let generation = -1
  // the generation is told by heartbeats alone: each batch sends one first, so it is the one under which the batch is processed
  consumer.on(consumer.events.HEARTBEAT, e => { generation = e.payload.groupGenerationId })
  consumer.on(consumer.events.GROUP_JOIN, e => say({ assigned: (e.payload.memberAssignment[topic] ?? []).slice().sort((a, b) => a - b), generation: -1 }))
  consumer.on(consumer.events.REBALANCING, () => say({ assigned: [], generation: -1 }))
  consumer.on(consumer.events.CRASH, e => note(e.payload.error))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, heartbeat, resolveOffset, commitOffsetsIfNecessary, isRunning, isStale }) => {
      if (batch.messages.length === 0 || !isRunning() || isStale()) return
      await new Promise(resolve => setTimeout(resolve, 2))
      await heartbeat()
      const last = batch.messages[batch.messages.length - 1].offset
      say({ partition: batch.partition, first: Number(batch.messages[0].offset), last: Number(last), generation })
      resolveOffset(last)
      await commitOffsetsIfNecessary()
    }
  })
  return () => consumer.disconnect()
}

async function platformatic () {
  const { Consumer, stringDeserializers } = await import('@platformatic/kafka')
  const consumer = new Consumer({ clientId: 'member', groupId, bootstrapBrokers: [broker], deserializers: stringDeserializers, autocommit: false, sessionTimeout: 3000, rebalanceTimeout: 10000, heartbeatInterval: 300, maxWaitTime: 200, metadataMaxAge: 2000, retries: 20, retryDelay: 100 })
  let owned = new Set()
  consumer.on('consumer:group:rebalance', () => { owned = new Set(); say({ assigned: [], generation: consumer.generationId }) })
  consumer.on('consumer:group:join', e => {
    owned = new Set((e.assignments ?? []).filter(a => a.topic === topic).flatMap(a => a.partitions))
    say({ assigned: [...owned].sort((a, b) => a - b), generation: e.generationId })
  })
  consumer.on('error', note)
  const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
  stream.on('error', note)
  ;(async () => {
    for await (const message of stream) {
      // what was fetched ahead of a rebalance is somebody else's
      if (!owned.has(message.partition)) continue
      const offset = Number(message.offset)
      say({ partition: message.partition, first: offset, last: offset, generation: consumer.generationId })
      try { await message.commit() } catch (e) { note(e) }
    }
  })().catch(note)
  return () => consumer.close(true)
}

const leaving = client === 'kafkajs' ? kafkajs() : platformatic()
process.on('SIGTERM', async () => {
  try { await (await leaving)(); say({ left: true }) } catch (e) { note(e) }
  process.exit(0)
})
