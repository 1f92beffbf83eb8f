// Runs the published conformance suite against the server at CONFORMANCE_URL and writes what came
// of it to report.json. In a program of its own, because the command line of vitest keeps notes
// beside the packages, where other runs are.
import { startVitest } from "vitest/node"

const vitest = await startVitest(
  "test",
  ["conformance.test.mjs"],
  { watch: false, config: false, cache: false, reporters: ["json"], outputFile: "report.json" },
  { cacheDir: "cache" },
)
await vitest.close()
