// The official client reads and writes the stream at STREAM_URL live: readers with READ_TOKEN
// (one of events, one that polls), a writer with WRITE_TOKEN that appends COUNT messages, several
// requests at once, each of them once. The last line says what came of it, as JSON.
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const { STREAM_URL: url, READ_TOKEN, WRITE_TOKEN } = process.env
const count = Number(process.env.COUNT)
const as = (token) => ({ Authorization: `Bearer ${token}` })
const mine = (items) => items.filter((item) => item.from === "typescript")

// Everything until the last message of the writer; `ready` once it waits for more.
const follow = async (live, offset = "-1") => {
  const response = await stream({ url, headers: as(READ_TOKEN), offset, live })
  const seen = []
  let waits
  const ready = new Promise((resolve) => (waits = resolve))
  const all = new Promise((resolve, reject) => {
    response.closed.catch(reject)
    response.subscribeJson((batch) => {
      seen.push(...batch.items)
      if (batch.upToDate) waits()
      if (mine(seen).some((item) => item.n === count - 1)) {
        response.cancel()
        resolve(seen)
      }
    })
  })
  return { ready, all }
}

const readers = [await follow("sse"), await follow("long-poll")]
await Promise.all(readers.map((reader) => reader.ready))

const handle = new DurableStream({
  url,
  headers: as(WRITE_TOKEN),
  contentType: "application/json",
})
const errors = []
const producer = new IdempotentProducer(handle, "typescript", {
  epoch: 1,
  maxBatchBytes: 500,
  onError: (error) => errors.push(String(error)),
})
for (let n = 0; n < count; n++) {
  producer.append(JSON.stringify({ from: "typescript", type: "log", n }))
}
await producer.flush()
await producer.detach()

const [events, polled] = await Promise.all(readers.map((reader) => reader.all))
const whole = await (await stream({ url, headers: as(READ_TOKEN), live: false })).json()
const head = await handle.head()

// Who may read may not write, and who has no token may not read.
const status = async (ask) => (await fetch(url, ask)).status
const refused = [
  await status({
    method: "POST",
    headers: { ...as(READ_TOKEN), "content-type": "application/json" },
    body: "{}",
  }),
  await status({}),
]
console.log(JSON.stringify({ events, polled, whole, tail: head.offset, errors, refused }))
