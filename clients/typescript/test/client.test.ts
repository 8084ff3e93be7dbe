/** What the client does beyond single calls: settings, keys that stay hidden, aborts, lists, whatever comes back. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { getEventListeners, once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, suite, test } from "node:test";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import * as all from "kata-context";
import { Client, type ClientOptions, ConnectionFailed, KataError, type NewMessage, ProblemError } from "kata-context";
import { running } from "./stack.js";

const SECRET = "sk-not-to-be-seen";
const HI: NewMessage[] = [{ role: "user", content: "Hi" }];

const stack = running();

/** A client of something that is not the service. */
function answering(status: number, body: string | null, headers: Record<string, string> = {}): Client {
  const fetch = () => Promise.resolve(new Response(body, { status, headers }));
  return new Client({ url: "http://x", maxRetries: 0, fetch });
}

/** What a promise rejects with. */
async function refusal(promise: Promise<unknown>): Promise<Error> {
  return promise.then(() => assert.fail("it succeeded"), (error) => error);
}

/** Runs what needs an HTTP server of its own. */
async function serving(listener: RequestListener, run: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

suite("settings", () => {
  const { KATA_CONTEXT_URL, KATA_CONTEXT_API_KEY } = process.env;
  beforeEach(() => Object.assign(process.env, { KATA_CONTEXT_URL: "", KATA_CONTEXT_API_KEY: "" }));
  afterEach(() =>
    Object.assign(process.env, {
      KATA_CONTEXT_URL: KATA_CONTEXT_URL ?? "",
      KATA_CONTEXT_API_KEY: KATA_CONTEXT_API_KEY ?? "",
    }),
  );

  /** The first request of a client that asks for health. */
  async function asked(options: ClientOptions = {}): Promise<[string, RequestInit]> {
    const calls: [string, RequestInit][] = [];
    const fetch = async (url: string, init: RequestInit) => {
      calls.push([url, init]);
      return Response.json({ status: "healthy" });
    };
    await new Client({ fetch, ...options }).health();
    return calls[0]!;
  }

  test("the environment says where and with which key", async () => {
    Object.assign(process.env, {
      KATA_CONTEXT_URL: "https://kata.example/base/\n",
      KATA_CONTEXT_API_KEY: ` ${SECRET}\n`,
    });
    const [url, { headers, redirect }] = await asked();

    assert.equal(url, "https://kata.example/base/api/health");
    assert.equal(redirect, "manual");
    assert.deepEqual(headers, { Authorization: `Bearer ${SECRET}`, "User-Agent": "kata-context-typescript/0.1.0" });
  });

  test("what the caller gives comes before the environment", async () => {
    Object.assign(process.env, { KATA_CONTEXT_URL: "https://no.example", KATA_CONTEXT_API_KEY: "no" });
    const [url, { headers }] = await asked({ url: "http://127.0.0.1:9", apiKey: SECRET });

    assert.equal(url, "http://127.0.0.1:9/api/health");
    assert.equal((headers as Record<string, string>)["Authorization"], `Bearer ${SECRET}`);
  });

  test("without any it is the service of make dev, without a key", async () => {
    const [url, { headers }] = await asked();

    assert.equal(url, "http://127.0.0.1:3000/api/health");
    assert.equal("Authorization" in (headers as object), false);
  });

  const refused = (error: Error) => error instanceof TypeError && !inspect(error).includes(SECRET);
  const secret = `http://user:${SECRET}@x`;
  for (const url of ["localhost:3000", "ftp://x", "//x", "/x", "http://", secret, "http://x/?a=b", "http://x y", "http://x:abc"]) {
    test(`${url.replace(SECRET, "…")} is refused, and not shown`, () => {
      assert.throws(() => new Client({ url }), refused);
    });
  }

  for (const end of ["\r\nX-Evil: 1", "é", "\0"]) {
    test(`a key with ${JSON.stringify(end)} is refused, and not shown`, () => {
      assert.throws(() => new Client({ apiKey: SECRET + end }), refused);
    });
  }

  for (const timeoutMs of [0, -1, NaN, "soon" as never]) {
    test(`a timeout of ${timeoutMs} is refused before anything is sent`, async () => {
      assert.equal((await refusal(asked({ timeoutMs }))).name, "TypeError");
    });
  }

  test("a timeout beyond what timers take is a long one", async () => {
    const fetch = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return Response.json({ status: "healthy" });
    };
    for (const timeoutMs of [Infinity, 2 ** 40]) {
      assert.equal((await new Client({ fetch, timeoutMs, maxRetries: 0 }).health()).status, "healthy");
    }
  });
});

suite("keys", () => {
  test("neither a client nor an error shows the key", async () => {
    await stack.faults("cut-before", "cut-before");
    const client = new Client({ url: stack.proxy, apiKey: SECRET, maxRetries: 1 });
    const error = await refusal(client.getContext("x"));
    const deep = { depth: 20, showHidden: true };

    const shown = [client, error].flatMap((each) => [inspect(each, deep), JSON.stringify(each), String(each)]);
    assert.equal(error.name, "ConnectionFailed");
    assert.ok(!shown.join().includes(SECRET));
    assert.ok(!JSON.stringify({ ...client }).includes(SECRET));
  });

  test("a redirect to another host is not followed, and gets no key", async () => {
    let others = 0;
    await serving(
      (_, response) => response.end(`${++others}`),
      async (other) => {
        const redirect: RequestListener = (_, response) => response.writeHead(307, { Location: other }).end();
        await serving(redirect, async (url) => {
          const error = await refusal(new Client({ url, apiKey: SECRET }).append("x", HI));

          assert.equal((error as KataError).code, "http_307");
        });
      },
    );

    assert.equal(others, 0);
  });
});

suite("errors", () => {
  test("the places that are not valid are named", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext();
    const error = (await refusal(kata.append(id, [{ role: "robot" as "user", content: "Hi" }]))) as ProblemError;

    assert.equal(error.name, "InvalidRequest");
    assert.deepEqual(error.errors.map(({ pointer }) => pointer), ["/messages/0/role"]);
    assert.match(error.message, /^invalid_body \(400\): .*\/messages\/0\/role/);
    assert.ok(error.requestId);
  });

  test("each class has its own name, and is a KataError", () => {
    const kinds = Object.entries(all).filter(([name]) => !["Client", "Pages"].includes(name));

    assert.equal(kinds.length, 17);
    for (const [name, { prototype }] of kinds) {
      assert.equal((prototype as KataError).name, name);
      assert.ok(prototype === KataError.prototype || prototype instanceof KataError);
    }
  });

  const others = ["[".repeat(100_000), "\xff\xfe", "null", "{", "NaN", "7", '"x"', "[1]", "", "<html>"];
  for (const body of [...others, '{"data": 1}', '{"data": null}']) {
    for (const status of [200, 400]) {
      test(`${body.slice(0, 20)} with ${status} is a problem`, async () => {
        const kata = answering(status, body);
        const errors = await Promise.all([
          refusal(kata.getContext("x")),
          refusal(kata.window("x")),
          refusal(kata.append("x", HI)),
          refusal(kata.health()),
          refusal(kata.messages("x")[Symbol.asyncIterator]().next()),
        ]);

        assert.deepEqual(errors.map((error) => (error as ProblemError).code), Array(5).fill(`http_${status}`));
      });
    }
  }

  test("a problem document with members of other types is read all the same", async () => {
    const hostile = { toString: 1, valueOf: 1 };
    const errors = [null, 7, hostile, { pointer: hostile, detail: "x" }, { pointer: "/a", detail: "b" }];
    const problem = { code: hostile, detail: hostile, requestId: hostile, errors };
    const error = (await refusal(answering(400, JSON.stringify(problem)).getContext("x"))) as ProblemError;

    assert.deepEqual([error.code, error.requestId], ["http_400", undefined]);
    assert.deepEqual(error.errors, [{ pointer: "/a", detail: "b" }]);
  });

  for (const code of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    test(`${code} is a code as any other`, async () => {
      const error = await refusal(answering(400, `{"code": "${code}"}`).getContext("x"));

      assert.equal(error.name, "ProblemError");
      assert.equal((error as ProblemError).code, code);
    });
  }

  test("a status that a browser hides is a problem too", async () => {
    const opaque = { status: 0, headers: new Headers(), text: async () => "" } as Response;
    const kata = new Client({ url: "http://x", fetch: async () => opaque });

    assert.equal(((await refusal(kata.getContext("x"))) as ProblemError).code, "http_0");
  });

  const retries = { "7": 7, "0": 0, "-1": undefined, "1e3": undefined, soon: undefined, ["9".repeat(99)]: undefined };
  for (const [header, expected] of Object.entries(retries)) {
    test(`Retry-After ${header.slice(0, 20)} is ${expected}`, async () => {
      const error = await refusal(answering(503, "", { "Retry-After": header }).getContext("x"));

      assert.equal((error as ProblemError).retryAfter, expected);
    });
  }

  const failed = new TypeError("fetch failed", { cause: { code: "ENOTFOUND" } });
  for (const reason of [undefined, null, "text", 7, {}, new Error(""), failed]) {
    test(`a fetch that fails with ${inspect(reason).slice(0, 20)} is a failed connection`, async () => {
      const kata = new Client({ url: "http://x", maxRetries: 0, fetch: () => Promise.reject(reason) });
      const error = await refusal(kata.getContext("x"));

      assert.ok(error instanceof ConnectionFailed);
      assert.equal(error.cause, reason);
    });
  }
});

suite("aborts", () => {
  const made = async () => (await new Client({ url: stack.url }).createContext()).id;

  test("a signal that is aborted already sends nothing", async () => {
    const id = await made();
    await stack.faults();
    const error = await refusal(new Client({ url: stack.proxy }).append(id, HI, { signal: AbortSignal.abort() }));

    assert.equal(error.name, "AbortError");
    assert.deepEqual(await stack.seen(), []);
  });

  test("a signal ends a request that is on its way, with its own reason", async () => {
    const id = await made();
    await stack.faults("stall");
    const stop = new AbortController();
    const reason = new Error("the user has left");
    const call = refusal(new Client({ url: stack.proxy }).append(id, HI, { signal: stop.signal }));
    while ((await stack.seen()).length === 0);
    stop.abort(reason);

    assert.equal(await call, reason);
    assert.equal((await stack.seen()).length, 1);
  });

  test("a signal ends the wait between two requests", async () => {
    const id = await made();
    await stack.faults({ status: 503, headers: { "Retry-After": "60" } });
    const stop = new AbortController();
    const call = refusal(new Client({ url: stack.proxy }).append(id, HI, { signal: stop.signal }));
    while ((await stack.seen()).length === 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop.abort();

    assert.equal((await call).name, "AbortError");
    assert.equal((await stack.seen()).length, 1);
  });

  test("a signal ends a fetch that does not know of signals", async () => {
    const stop = new AbortController();
    const kata = new Client({ url: "http://x", maxRetries: 0, fetch: () => new Promise(() => {}) });
    const call = refusal(kata.getContext("x", { signal: stop.signal }));
    stop.abort();

    assert.equal((await call).name, "AbortError");
  });

  test("a signal stops a list between its pages", async () => {
    const kata = new Client({ url: stack.url });
    const id = await made();
    await kata.append(id, [...HI, ...HI, ...HI]);
    const stop = new AbortController();
    const versions: number[] = [];
    const reading = (async () => {
      for await (const { version } of kata.messages(id, { limit: 1, signal: stop.signal })) {
        versions.push(version);
        stop.abort();
      }
    })();

    assert.equal((await refusal(reading)).name, "AbortError");
    assert.deepEqual(versions, [1]);
  });

  test("a signal that is used again and again keeps no listeners", async () => {
    const { signal } = new AbortController();
    const kata = new Client({ url: stack.proxy });
    const id = await made();
    await stack.faults("cut-before", "cut-after");
    await Promise.all(Array.from({ length: 20 }, () => kata.append(id, HI, { signal })));

    assert.equal(getEventListeners(signal, "abort").length, 0);
    assert.equal((await kata.getContext(id)).latestVersion, 20);
  });

  test("an answer that stops in its middle is a failed connection", async () => {
    let requests = 0;
    const stalling: RequestListener = (_, response) => {
      requests += 1;
      response.writeHead(200, { "Content-Length": 100 }).write('{"data": ');
    };
    await serving(stalling, async (url) => {
      const error = await refusal(new Client({ url, maxRetries: 1 }).getContext("x", { timeoutMs: 100 }));

      assert.deepEqual([error.name, error.message], ["ConnectionFailed", `${url}: no answer within 100 ms`]);
    });
    assert.equal(requests, 2);
  });
});

suite("answers without end", () => {
  const read = (url: string) => refusal(new Client({ url, maxRetries: 0, timeoutMs: 60_000 }).getContext("x"));

  test("an answer longer than any of the service's is not read to its end", { timeout: 30_000 }, async () => {
    const pouring: RequestListener = (_, response) => {
      const pour = () => {
        while (response.write(" ".repeat(65_536)));
      };
      response.on("drain", pour);
      pour();
    };
    await serving(pouring, async (url) => assert.equal(((await read(url)) as ProblemError).code, "http_200"));
  });

  test("an answer that unpacks to far more is not unpacked to its end", { timeout: 30_000 }, async () => {
    const bomb = gzipSync(Buffer.alloc(400_000_000, " "));
    const packed: RequestListener = (_, response) => response.writeHead(200, { "Content-Encoding": "gzip" }).end(bomb);
    await serving(packed, async (url) => {
      const before = process.memoryUsage.rss();
      const error = await read(url);

      assert.equal((error as ProblemError).code, "http_200");
      assert.ok(process.memoryUsage.rss() - before < 200_000_000);
    });
  });

  test("a fetch without streams is read all the same", async () => {
    const answer = { status: 200, headers: new Headers(), text: async () => '{"status": "healthy"}' } as Response;

    assert.equal((await new Client({ url: "http://x", fetch: async () => answer }).health()).status, "healthy");
  });
});

suite("timeouts", () => {
  test("a request that is not answered in time is given up before the next one", { timeout: 20_000 }, async () => {
    const events: string[] = [];
    const silent: RequestListener = (_, response) => {
      events.push("asked");
      response.on("close", () => events.push("given up"));
    };
    await serving(silent, async (url) => {
      await refusal(new Client({ url, maxRetries: 1, timeoutMs: 100 }).getContext("x"));
      while (events.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    });

    assert.deepEqual(events, ["asked", "given up", "asked", "given up"]);
  });
});

suite("JSON", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) deep = [deep];
  const plain = [NaN, Infinity, 1n, () => 1, Symbol("s"), [undefined], Array(2), cyclic, deep];
  const made = [new Map(), new Set(), new Uint8Array(2), new Date(NaN), new Error("x"), Promise.resolve(), Object(NaN)];

  for (const value of [...plain, ...made]) {
    test(`${inspect(value, { depth: 0 })} is refused before anything is sent`, async () => {
      await stack.faults();
      const kata = new Client({ url: stack.proxy });
      const metadata = { value };
      const calls = [
        kata.append("x", [...HI, { role: "user", content: "Hi", metadata }]),
        kata.append("x", HI, { metadata }),
        kata.append("x", HI, { contextMetadata: metadata }),
        kata.createContext({ metadata }),
        kata.fork("x", { metadata }),
      ];

      for (const call of calls) assert.equal((await refusal(call)).name, "TypeError");
      assert.throws(() => kata.contexts({ metadata }), TypeError);
      assert.deepEqual(await stack.seen(), []);
    });
  }

  for (const messages of [undefined, null, 7, [undefined], [() => 1], [1n]]) {
    test(`${inspect(messages)} for messages is refused before anything is sent`, async () => {
      await stack.faults();

      assert.equal((await refusal(new Client({ url: stack.proxy }).append("x", messages as never))).name, "TypeError");
      assert.deepEqual(await stack.seen(), []);
    });
  }

  for (const id of [undefined, null, 7, "", ".", "..", "a/b", "a?b", "a#b", "%2e", "a\n", "é", {}, ["x"]]) {
    test(`${inspect(id)} for an id is refused before anything is sent`, async () => {
      await stack.faults();
      const kata = new Client({ url: stack.proxy });

      assert.equal((await refusal(kata.getContext(id as never))).name, "TypeError");
      assert.equal((await refusal(kata.getCompaction("x", id === 7 ? 1.5 : (id as never)))).name, "TypeError");
      assert.throws(() => kata.messages(id as never), TypeError);
      assert.deepEqual(await stack.seen(), []);
    });
  }

  test("what is undefined is as if it were absent, and dates are texts", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext({ name: undefined as never, metadata: { a: undefined, b: new Date(0) } });

    assert.deepEqual((await kata.getContext(id)).metadata, { b: "1970-01-01T00:00:00.000Z" });
  });

  test("numbers and texts come back as they went", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext();
    const metadata = { big: 2 ** 53 - 1, small: 1e-300, texts: ["é", "😀", "\u2028", ""], no: null, __proto__: null };
    await kata.append(id, [{ role: "user", content: "Hi", metadata }]);
    const pages = kata.messages(id).pages();

    assert.deepEqual((await pages.next()).value?.[0]?.metadata, { ...metadata });
  });

  for (const args of [{ externalId: undefined }, { parentId: undefined }, { limit: null }, { externalId: "x\ud800" }]) {
    test(`a list by ${inspect(args)} is refused before anything is sent`, () => {
      assert.throws(() => new Client({ url: "http://x.invalid" }).contexts(args as never), TypeError);
    });
  }

  test("a condition without a value is refused before anything is sent", async () => {
    const kata = new Client({ url: "http://x.invalid" });
    await assert.rejects(kata.updateContext("x", { name: "a", ifMatch: undefined as never }), TypeError);
    await assert.rejects(kata.append("x", HI, { ifMatch: undefined as never }), TypeError);
  });

  test("an ETag that a proxy has weakened is the service's", async () => {
    const fetch = async () => Response.json({ data: {} }, { headers: { ETag: 'W/"5.1"' } });
    assert.equal((await new Client({ fetch }).getContext("x")).etag, '"5.1"');
  });

  test("a query takes texts, numbers, booleans and objects", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext();
    await kata.append(id, HI);
    await kata.updateContext(id, { metadata: { a: { b: [1, "é&=+"] } } });
    const window = await kata.window(id, {
      budget: 10,
      keepPreamble: true,
      clearToolResults: "off",
      compactionDue: "0.8,4000",
    });
    const found = [];
    for await (const context of kata.contexts({ metadata: { a: { b: ["é&=+"] } } })) found.push(context.id);

    assert.deepEqual(found, [id]);
    assert.equal(window.policy.keepPreamble, true);
    assert.deepEqual(window.policy.compactionDue, { threshold: 0.8, keepTokens: 10 });
  });
});

suite("lists", () => {
  test("no page is read before its turn, and none after the reader has left", async () => {
    const { id } = await new Client({ url: stack.url }).createContext();
    const kata = new Client({ url: stack.proxy });
    await kata.append(id, Array(10).fill(HI[0]));
    await stack.faults();
    const list = kata.messages(id, { limit: 4 });
    assert.equal((await stack.seen()).length, 0);
    for await (const { version } of list) if (version === 4) break;
    assert.equal((await stack.seen()).length, 1);

    const sizes: number[] = [];
    for await (const page of list.pages()) sizes.push(page.length);
    assert.deepEqual(sizes, [4, 4, 2]);
  });

  test("native messages come with what the provider gave", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext();
    const turn = { role: "user", content: [{ type: "text", text: "Hi", cache_control: { type: "ephemeral" } }] };
    await kata.append(id, [turn], { format: "anthropic" });
    for await (const { native, nativeFormat } of kata.messages(id, { include: "native" })) {
      assert.deepEqual([native, nativeFormat], [turn, "anthropic"]);
    }
  });
});

suite("many at once", () => {
  test("twenty first opens make one context", async () => {
    const kata = new Client({ url: stack.url });
    const externalId = randomUUID();
    const made = await Promise.all(Array.from({ length: 20 }, () => kata.createContext({ externalId })));

    assert.equal(new Set(made.map(({ id }) => id)).size, 1);
  });

  test("of twenty who expect the same version one wins, and each other is told where the context is", async () => {
    const kata = new Client({ url: stack.url });
    const { id } = await kata.createContext();
    const append = () => kata.append(id, HI, { expectedVersion: 0 }).then(() => "stored", ({ code }) => code);
    const codes = (await Promise.all(Array.from({ length: 20 }, append))).sort();

    assert.deepEqual(codes, ["stored", ...Array(19).fill("version_conflict")]);
  });

  test("a hundred appends through kills of the service are stored once each", async () => {
    const kata = new Client({ url: stack.proxy, maxRetries: 8 });
    const { id } = await kata.createContext();
    const contents = Array.from({ length: 100 }, (_, number) => `${number}`);
    for (const content of contents) {
      if (Number(content) % 25 === 10) await stack.kill(0.2);
      await kata.append(id, [{ role: "user", content }]);
    }
    const stored = [];
    for await (const { content } of kata.messages(id)) stored.push(content);

    assert.deepEqual(stored, contents);
  });
});
