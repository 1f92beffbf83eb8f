// The official server on a free port (or PORT) of this machine, in memory or in the folder
// DATA_DIR. Says its URL on the first line, and ends with its standard input.
import { DurableStreamTestServer } from "@durable-streams/server"

const say = console.log
// The server tells of itself on the same line.
console.log = console.info = console.warn = console.error
const server = new DurableStreamTestServer({
  port: Number(process.env.PORT ?? 0),
  host: "127.0.0.1",
  ...(process.env.DATA_DIR ? { dataDir: process.env.DATA_DIR } : {}),
})
say(await server.start())
process.stdin.on("end", () => process.exit(0)).resume()
