// Runs the published conformance suite against the server at CONFORMANCE_URL and writes what came
// of it to report.json. In a program of its own, because the command line of vitest keeps notes
// beside the packages, where other runs are.
import { startVitest } from "vitest/node"

// The usual 5 s are short for a test that compares 100,000 bytes one by one on a machine where
// others work too. What hangs is found all the same.
const testTimeout = 60_000

const vitest = await startVitest(
  "test",
  ["conformance.test.mjs"],
  {
    watch: false,
    config: false,
    cache: false,
    reporters: ["json"],
    outputFile: "report.json",
    testTimeout,
  },
  { cacheDir: "cache" },
)
await vitest.close()
