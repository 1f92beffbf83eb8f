// The official Node server, file-backed. Arguments: port, data directory.
import { DurableStreamTestServer } from "@durable-streams/server";

const [port, dataDir] = process.argv.slice(-2);
const server = new DurableStreamTestServer({ port: Number(port), dataDir });
await server.start();
process.on("SIGTERM", () => server.stop().finally(() => process.exit()));
