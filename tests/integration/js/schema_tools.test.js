// Tools that read the schema, from the file or by introspection, see one graph, and the stored operations fit it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { codegen } from "@graphql-codegen/core";
import * as typescript from "@graphql-codegen/typescript";
import * as typescriptOperations from "@graphql-codegen/typescript-operations";
import {
  GraphQLSchema,
  buildClientSchema,
  buildSchema,
  getIntrospectionQuery,
  lexicographicSortSchema,
  parse,
  printSchema,
  validateSchema,
} from "graphql";
import { SCHEMA_FILE, ask, operationFiles } from "./bff.js";

const SCHEMA = readFileSync(SCHEMA_FILE, "utf8");
// What only routers read: defined in the file, not part of what clients may ask.
const FEDERATION = /^(link__\w+|federation__\w+|_FieldSet|key|link|requiresScopes|shareable)$/;
const SCALARS = { DateTime: "string", Decimal: "string" };

let fromFile;
let introspected;

before(async () => {
  fromFile = buildSchema(SCHEMA);
  const { data, errors } = await ask(getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true }));
  assert.equal(errors, undefined);
  introspected = buildClientSchema(data);
});

/** What clients may ask: every line of it, in one order. */
function linesOf(schema) {
  const { types, directives, ...rest } = schema.toConfig();
  const ofClients = ({ name }) => !FEDERATION.test(name);
  const seen = { ...rest, types: types.filter(ofClients), directives: directives.filter(ofClients) };
  return printSchema(lexicographicSortSchema(new GraphQLSchema(seen))).split("\n");
}

test("schema.graphql is a valid schema to graphql-js, by itself", () => {
  assert.deepEqual(validateSchema(fromFile), []);
  assert.ok(fromFile.getDirective("upstream").description);
});

test("introspection and schema.graphql are the same graph, to the last description", () => {
  const [file, served] = [linesOf(fromFile), linesOf(introspected)];

  assert.deepEqual(served.filter((line) => !file.includes(line)), []); // what differs, before all that does not
  assert.deepEqual(file.filter((line) => !served.includes(line)), []);
  assert.ok(served.join("\n") === file.join("\n"), "the same lines, in another order");
  assert.ok(served.length > 1000);
});

test("codegen makes types of every stored operation", async () => {
  const documents = operationFiles();
  const operations = documents.flatMap(({ document }) =>
    document.definitions.filter(({ kind }) => kind === "OperationDefinition"),
  );

  const code = await codegen({
    filename: "graph.ts",
    schema: parse(SCHEMA),
    documents, // it validates each against the schema, with the fragments of all
    config: { scalars: SCALARS, defaultScalarType: "unknown" },
    plugins: [{ typescript: {} }, { operations: {} }],
    pluginMap: { typescript, operations: typescriptOperations },
  });

  for (const { name, operation } of operations) {
    const kind = `${operation[0].toUpperCase()}${operation.slice(1)}`;
    assert.match(code, new RegExp(`export type ${name.value}${kind} = `));
    assert.match(code, new RegExp(`export type ${name.value}${kind}Variables = `));
  }
  assert.ok(operations.length >= 27);
  assert.doesNotMatch(code, /\bany\b(?!.*\*\/)/);
});
