// The development server in the background: node scripts/dev.mjs start|stop|restart.
// Its output goes to <tmp>/dev-server.log, its process id to <tmp>/dev-server.pid.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const project = fileURLToPath(new URL("..", import.meta.url));
const vite = join(project, "node_modules/vite/bin/vite.js");
const log = join(tmpdir(), "dev-server.log");
const pidFile = join(tmpdir(), "dev-server.pid");
const START_SECONDS_MAX = 60;
const STOP_SECONDS_MAX = 5;
const LOG_CHARS_MAX = 8000;

try {
  // What Vite reads, too; what is in the environment already wins.
  process.loadEnvFile(join(project, ".env"));
} catch {
  // There is none.
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const read = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

/** The id of the running server; 0 = none. An id that another process has by now does not count. */
function running() {
  const pid = Number.parseInt(read(pidFile), 10);
  if (!(pid > 1)) return 0;
  try {
    process.kill(pid, 0);
  } catch {
    return 0;
  }
  const command = read(`/proc/${pid}/cmdline`);
  return command === "" || command.includes(vite) ? pid : 0;
}

/** Whether something answers at the port. */
const answers = (port) =>
  new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1", timeout: 1000 });
    const end = (answer) => {
      socket.destroy();
      done(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false)).once("timeout", () => end(false));
  });

async function start() {
  if (running()) {
    console.log(`The development server runs already (process ${running()}).`);
    return;
  }
  const port = Number(process.env.VITE_PORT || 5173);
  if (await answers(port)) throw new Error(`something else listens on port ${port}`);
  const out = openSync(log, "w");
  // A process group of its own, so that `stop` reaches whatever it starts.
  const server = spawn(process.execPath, [vite], {
    cwd: project,
    detached: true,
    stdio: ["ignore", out, out],
  });
  closeSync(out);
  let ended = false;
  server.once("error", () => (ended = true)).once("exit", () => (ended = true));
  writeFileSync(pidFile, `${server.pid ?? ""}\n`);
  for (let i = 0; i < START_SECONDS_MAX * 5 && !ended; i++) {
    if (await answers(port)) {
      server.unref();
      console.log(`The development server listens on port ${port}; its log is ${log}.`);
      return;
    }
    await sleep(200);
  }
  await stop();
  const said = stripVTControlCharacters(read(log));
  throw new Error(`the development server did not start:\n${said.slice(-LOG_CHARS_MAX)}`);
}

async function stop() {
  const pid = running();
  for (const signal of pid ? ["SIGTERM", "SIGKILL"] : []) {
    try {
      process.kill(-pid, signal);
    } catch {
      break; // It is gone.
    }
    for (let i = 0; i < STOP_SECONDS_MAX * 10 && running(); i++) await sleep(100);
    if (!running()) break;
  }
  if (running()) throw new Error(`process ${pid} does not end`);
  rmSync(pidFile, { force: true });
}

const commands = {
  start,
  stop,
  restart: async () => {
    await stop();
    await start();
  },
};

try {
  const command = Object.hasOwn(commands, process.argv[2] ?? "") && commands[process.argv[2]];
  if (!command) throw new Error("usage: node scripts/dev.mjs start|stop|restart");
  await command();
  process.exit(0);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
