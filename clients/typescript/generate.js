// Writes src/schema.d.ts from the service's openapi.json: `node generate.js [TO]`.
//
// Types only: what is sent and answered, and for each operation the arguments that a call takes. A test makes it again
// and compares.

import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const OPENAPI = new URL("../../public/openapi.json", import.meta.url);
const SCHEMA = new URL("src/schema.d.ts", import.meta.url);

const HEADER = "/** What the API takes and answers. Made from its OpenAPI document by generate.js: do not edit. */\n\n";

// Bodies, which are arguments of calls, and answers that the client unpacks.
const UNPACKED = /^(ContextPatch|NewCompaction|NewContext|NewFork)$|(Answer|Page|Append)$/;

// What a call takes by its place.
const POSITIONAL = ["messages", "throughVersion", "summary"];

// Answers whose ETag the client puts beside the members, and the names of what results.
const TAGGED = { TaggedContext: "Context", Figures: "WindowAnswer" };

// What every call takes besides; the schema of a signal is none, and its type is put in below.
const OPTIONS = {
  signal: { description: "Ends the call as soon as it is aborted; a write may then have been stored or not." },
  timeoutMs: { type: "number", description: "Milliseconds for each request of the call, which may be several." },
};

/** The schema of an operation's arguments: its query, its headers, the members of its body, and OPTIONS. */
function argumentsOf(operation, schemas) {
  const properties = { ...OPTIONS };
  for (const { name, description, schema, content } of operation.parameters ?? []) {
    const camel = name.charAt(0).toLowerCase() + name.slice(1).replaceAll("-", "");
    properties[camel] = { ...(schema ?? content["application/json"].schema), description };
  }
  for (const { schema } of Object.values(operation.requestBody?.content ?? {})) {
    for (const { $ref } of schema.oneOf ?? [schema]) {
      Object.assign(properties, schemas[$ref.split("/").at(-1)].properties);
    }
  }
  for (const name of POSITIONAL) delete properties[name];
  delete properties.format?.enum; // of the formats' append, which takes all but ours
  return { type: "object", description: `${operation.summary}.`, properties };
}

/** The node without what only lengthens the types: titles, formats and defaults, which are the API's. */
function plain(node) {
  if (Array.isArray(node)) return node.map(plain);
  if (typeof node !== "object" || node === null) return node;
  const members = Object.entries(node).filter(([name]) => !["default", "examples", "format", "title"].includes(name));
  if (node.type === "object" && !node.properties) members.push(["additionalProperties", true]);
  return Object.fromEntries(
    members.map(([name, value]) => [
      name,
      name === "properties"
        ? Object.fromEntries(Object.entries(value).map(([property, schema]) => [property, plain(schema)]))
        : plain(value),
    ]),
  );
}

/** The OpenAPI document to make types of. */
function document({ info, components: { schemas }, paths }) {
  delete schemas.NewMessage.anyOf; // would be four types of the same members
  delete schemas.WindowAnswer.properties.data; // whose shape is the format's
  const wanted = Object.fromEntries(Object.entries(schemas).filter(([name]) => !UNPACKED.test(name)));
  for (const [name, answer] of Object.entries(TAGGED)) {
    const { properties, required, ...rest } = schemas[answer];
    const etag = { type: "string", description: "The ETag that it came with." };
    wanted[name] = { ...rest, properties: { ...properties, etag }, required: [...required, "etag"] };
  }
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const name = operation.operationId;
    if (name) wanted[`${name[0].toUpperCase()}${name.slice(1)}Arguments`] = argumentsOf(operation, schemas);
  }
  return { openapi: "3.1.0", info, paths: {}, components: { schemas: plain(wanted) } };
}

const tree = await openapiTS(document(JSON.parse(readFileSync(OPENAPI, "utf8"))), {
  rootTypes: true,
  rootTypesNoSchemaPrefix: true,
});
const text = astToString(tree).replaceAll("signal?: unknown", "signal?: AbortSignal | undefined");
writeFileSync(process.argv[2] ?? SCHEMA, HEADER + text);
