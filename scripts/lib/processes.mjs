// Long-running child processes: started in groups of their own, so that stopping one stops all it started, and never
// anything else.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Complaint, ROOT } from "./run.mjs";

/** A running program. */
export class Running {
  /** Starts a program; each line it prints goes to `onLine`. */
  constructor(name, program, args, { env = {}, cwd = ROOT, onLine = () => {}, ...options } = {}) {
    this.name = name;
    this.output = [];
    this.child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      ...options,
    });
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => resolve(`cannot run ${program}: ${error.message}`));
      this.child.on("close", (code, signal) => resolve(`${name} ended with ${signal ?? `code ${code}`}`));
    });
    this.alive = true;
    this.ended.then(() => (this.alive = false));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on("line", (line) => {
        this.output.push(line);
        if (this.output.length > 1000) this.output.shift();
        onLine(line);
      });
    }
  }

  get pid() {
    return this.child.pid;
  }

  /** Sends a signal to the program and all it started. */
  signal(signal) {
    try {
      process.kill(-this.child.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  /** Asks it to stop, and makes it stop when it has not after `graceMs`. */
  async stop(signal = "SIGTERM", graceMs = 12_000) {
    if (this.alive) {
      this.signal(signal);
      const timer = setTimeout(() => this.signal("SIGKILL"), graceMs);
      await this.ended;
      clearTimeout(timer);
    }
    // What it started may have outlived it.
    this.signal("SIGKILL");
  }
}

/** A port of 127.0.0.1 that nothing listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Whether a port of 127.0.0.1 can be listened on. */
export function portIsFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Waits until `ready()` answers true; fails when one of `running` ends first, or time runs out. */
export async function until(what, ready, { running = [], timeoutMs = 30_000, everyMs = 100 } = {}) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    if (await ready().catch(() => false)) return;
    const dead = running.find((program) => !program.alive);
    if (dead) throw new Complaint(`${await dead.ended} while waiting for ${what}\n${dead.output.slice(-15).join("\n")}`);
    if (Date.now() > end) {
      const said = running.map((program) => program.output.slice(-15).join("\n")).join("\n");
      throw new Complaint(`${what} took longer than ${timeoutMs / 1000} s\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Whether a URL answers 200. */
export async function answers(url) {
  const reply = await fetch(url, { signal: AbortSignal.timeout(3_000) });
  await reply.arrayBuffer();
  return reply.status === 200;
}
