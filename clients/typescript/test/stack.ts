/** The service behind a proxy that breaks connections, for a test file: a context is its own world. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

export const ROOT = new URL("../../../../", import.meta.url);

/** What clients/stack.py serves: `url` is the service's, `proxy` the proxy's. */
export class Stack {
  url = "";
  proxy = "";

  /** What befalls the next requests through the proxy, one each. */
  async faults(...faults: unknown[]): Promise<void> {
    await this.#control("faults", faults);
  }

  /** The requests through the proxy since then. */
  async seen(): Promise<{ method: string; path: string; key: string | null; bytes: number; status: number | null }[]> {
    return (await fetch(`${this.proxy}/_stack/seen`)).json() as never;
  }

  /** SIGKILL for the service, which starts again after seconds; requests through the proxy fail until then. */
  async kill(seconds: number): Promise<void> {
    await this.#control("kill", { seconds });
  }

  async #control(what: string, body: unknown): Promise<void> {
    await fetch(`${this.proxy}/_stack/${what}`, { method: "POST", body: JSON.stringify(body) });
  }
}

/** The stack, on an empty database of its own, from the first test of a file to its last. */
export function running(): Stack {
  const stack = new Stack();
  let process: ChildProcessByStdio<Writable, Readable, null>;
  before(async () => {
    const python = fileURLToPath(new URL(".venv/bin/python", ROOT));
    process = spawn(python, ["-m", "clients.stack"], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
    const [line] = (await once(createInterface(process.stdout), "line")) as [string];
    Object.assign(stack, JSON.parse(line));
  });
  after(async () => {
    process.stdin.end();
    await once(process, "exit");
  });
  return stack;
}
