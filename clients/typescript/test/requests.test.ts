/** How long the client waits, and how an append is split: without I/O. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AppendMessagesArguments, ConnectionFailed, type Message, NotModified, ProblemError } from "kata-context";
import { parts } from "#dist/appends.js";
import { newKey, pause } from "#dist/requests.js";

const USER = { role: "user", content: "Hi" };

suite("the pause before a request is sent again", () => {
  const problem = (status: number, retryAfter?: number) => new ProblemError(status, {}, retryAfter);
  const sampled = (error: ConnectionFailed | ProblemError, attempts: number) =>
    Array.from({ length: 200 }, () => pause(error, attempts)!);

  const longest = { 1: 500, 2: 1000, 3: 2000, 4: 4000, 5: 8000, 6: 8000, 5000: 8000 };
  for (const [attempts, most] of Object.entries(longest)) {
    test(`is ${most} ms after attempt ${attempts}, a little less at random`, () => {
      for (const error of [new ConnectionFailed("x"), problem(502), problem(503), problem(504)]) {
        const pauses = sampled(error, Number(attempts));

        assert.ok(Math.max(...pauses) <= most && Math.min(...pauses) >= most * 0.75);
        assert.ok(new Set(pauses).size > 100);
      }
    });
  }

  test("is never shorter than Retry-After, which is not waited for beyond a minute", () => {
    const pauses = sampled(problem(503, 60), 1);

    assert.ok(Math.min(...pauses) >= 60_000 && Math.max(...pauses) <= 80_000);
    assert.equal(pause(problem(503, 61), 1), undefined);
    assert.equal(pause(problem(503, 0), 1), 0);
  });

  for (const status of [200, 302, 400, 401, 404, 409, 412, 413, 422, 429, 500, 501]) {
    test(`is none after ${status}`, () => assert.equal(pause(problem(status, 1), 1), undefined));
  }

  test("is none after 304", () => assert.equal(pause(new NotModified('"1"'), 1), undefined));
});

test("no two keys are the same, and all are visible ASCII", () => {
  const keys = Array.from({ length: 1000 }, newKey);

  assert.equal(new Set(keys).size, 1000);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});

suite("an append in parts", () => {
  /** What would be sent, where nothing else is in the context. */
  function bodies(given: object[], args: AppendMessagesArguments = {}) {
    const stored: Message[] = [];
    const sent = [];
    for (const { body, headers } of parts("x", given, args, stored)) {
      const members = JSON.parse(body!);
      sent.push({ ...members, headers, bytes: Buffer.byteLength(body!) });
      stored.push(...members.messages.map((_: object, at: number) => ({ version: stored.length + at + 1 })));
    }
    return sent;
  }

  /** Numbers that look random, and are the same in every run (a linear congruential generator). */
  function numbers(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
  }

  const kinds = [
    USER,
    { role: "assistant", content: "x".repeat(700_000) },
    { role: "tool", toolCallId: "1", content: "é".repeat(1_100_000) },
    { role: "user", content: Array(300).fill({ type: "tool_result", tool_use_id: "1" }) },
    { role: "user", parts: [{ functionResponse: {} }] },
    { role: "assistant", content: "y".repeat(5_000_000) },
  ];

  test("is all of it in order, and no part is larger than it must be", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = numbers(seed);
      const given = Array.from({ length: 1 + random(12) }, () => kinds[random(kinds.length)]!);
      const sent = bodies(given, seed % 2 ? { format: "anthropic", metadata: { x: "é".repeat(100) } } : {});

      assert.deepEqual(sent.flatMap(({ messages }) => messages), given);
      for (const { messages, bytes } of sent) {
        assert.ok(messages.length === 1 || bytes + messages.length * 400 <= 4_301_000);
      }
      assert.equal(new Set(sent.map(({ headers }) => headers["Idempotency-Key"])).size, sent.length);
    }
  });

  test("never splits a turn of at most a thousand messages", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = numbers(seed);
      const turn = () => [USER, ...Array(random(30)).fill({ role: "tool", toolCallId: "1" })];
      const sent = bodies(Array.from({ length: 200 }, turn).flat());

      assert.ok(sent.length > 1);
      assert.deepEqual(sent.map(({ messages }) => messages[0].role), Array(sent.length).fill("user"));
    }
  });

  test("is the same whenever it is called with the same key", () => {
    const given = Array(2500).fill(USER);

    assert.deepEqual(bodies(given, { idempotencyKey: "k" }), bodies(given, { idempotencyKey: "k" }));
    assert.deepEqual(
      bodies(given, { idempotencyKey: "k" }).map(({ headers }) => headers["Idempotency-Key"]),
      ["k", "k.1000", "k.2000"],
    );
  });

  test("expects of the first what the caller expects, and of the others what those before them have left", () => {
    const given = Array(2500).fill(USER);
    const expected = (args: AppendMessagesArguments) => bodies(given, args).map((body) => body.expectedVersion);
    const matched = bodies(given, { ifMatch: '"7"' }).map(({ headers }) => headers["If-Match"]);

    assert.deepEqual(expected({ expectedVersion: 0 }), [0, 1000, 2000]);
    assert.deepEqual(expected({ ifMatch: '"7"' }), [undefined, 1000, 2000]);
    assert.deepEqual(expected({}), [undefined, undefined, undefined]);
    assert.deepEqual(matched, ['"7"', undefined, undefined]);
  });

  test("has token counts and state where they belong", () => {
    const tokenCounts = Array.from({ length: 1500 }, (_, at) => at);
    const sent = bodies(Array(1500).fill(USER), { format: "openai-chat", tokenCounts, contextMetadata: { a: 1 } });

    assert.deepEqual(sent.map((body) => body.tokenCounts), [tokenCounts.slice(0, 1000), tokenCounts.slice(1000)]);
    assert.deepEqual(sent.map((body) => body.contextMetadata), [undefined, { a: 1 }]);
  });
});
