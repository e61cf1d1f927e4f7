// SPDX-License-Identifier: Apache-2.0
// A real server of lictor-http over recordings (`cargo build -p lictor-http --example serve`), one for each use.
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(homedir(), ".cache/lictor-target");
const PROGRAM = process.env.LICTOR_SERVE ?? join(TARGET, "debug/examples/serve");
export const RECORDINGS = [join(ROOT, "tests/scenarios/guest-session.jsonl"), join(ROOT, "ui/e2e/hostile.jsonl")];
const READY_MS = 20_000;

export interface Server {
  url: string;
  token: string;
  /** The folder with policy.yaml, rules.d and what the server writes. */
  state: string;
  stop: () => Promise<void>;
  /** The same server again, at the same address and with the same state. */
  restart: () => Promise<void>;
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

export async function startServer(extra: string[] = [], recordings = RECORDINGS): Promise<Server> {
  // A running lictord can be tested in its place.
  const { LICTOR_URL, LICTOR_TOKEN } = process.env;
  if (LICTOR_URL && LICTOR_TOKEN) {
    const nothing = async () => {};
    return { url: LICTOR_URL, token: LICTOR_TOKEN, state: "", stop: nothing, restart: nothing };
  }
  if (!existsSync(PROGRAM)) {
    throw new Error(`${PROGRAM} is not there: cargo build -p lictor-http --example serve`);
  }
  const state = mkdtempSync(join(tmpdir(), "lictor-ui-"));
  mkdirSync(join(state, "rules.d"));
  for (const name of ["shells.yaml", "credentials.yaml", "persistence.yaml"]) {
    cpSync(join(ROOT, "rules", name), join(state, "rules.d", name));
  }
  cpSync(join(ROOT, "demo/policy.yaml"), join(state, "policy.yaml"));
  const listen = `127.0.0.1:${await freePort()}`;
  const args = [
    ...recordings.flatMap((file) => ["--events", file]),
    "--listen",
    listen,
    "--state",
    state,
    "--rate",
    "5000",
    ...extra,
  ];
  let child = await launch(args, `http://${listen}`);
  // A server makes a new one at each start.
  const token = () => readFileSync(join(state, "http.token"), "utf8").trim();
  const server: Server = {
    url: `http://${listen}`,
    token: token(),
    state,
    stop: async () => {
      await ended(child);
      rmSync(state, { recursive: true, force: true });
    },
    restart: async () => {
      await ended(child);
      child = await launch(args, `http://${listen}`);
      server.token = token();
    },
  };
  return server;
}

async function launch(args: string[], url: string): Promise<ChildProcess> {
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (data) => {
    said = (said + data).slice(-4000);
  });
  const until = Date.now() + READY_MS;
  while (Date.now() < until) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${said}`);
    try {
      if ((await fetch(`${url}/healthz`)).status < 500) return child;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill("SIGKILL");
  throw new Error(`the server is not ready after ${READY_MS} ms: ${said}`);
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 3000).unref();
  });
}
