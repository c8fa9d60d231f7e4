// urql, which names event streams in every `Accept`: a plain answer where one will do, a stream for what goes on.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Client, fetchExchange } from "@urql/core";
import { GRAPHQL, headersOf } from "./bff.js";
import { HEALTH, allChecked, claimIds, tellsOfHealth } from "./streams.js";

const answers = []; // status and media type of each, as they came

const client = new Client({
  url: GRAPHQL,
  exchanges: [fetchExchange],
  fetchOptions: { headers: headersOf() },
  fetchSubscriptions: true,
  preferGetMethod: false,
  fetch: async (...request) => {
    const response = await fetch(...request);
    answers.push([response.status, response.headers.get("content-type").split(";")[0]]);
    return response;
  },
});
const PLAIN = "application/graphql-response+json";

before(allChecked);

test("a query, a mutation and a mistake have plain answers, with their statuses", async () => {
  const [claimId] = await claimIds("first", 1);
  const rename = `mutation ($input: UpdateClaimInput!) {
    updateClaim(input: $input) { claim { description } userErrors { code } }
  }`;

  const read = await client.query("{ viewer { userId } }", {});
  const changed = await client.mutation(rename, { input: { claimId, description: "Two boxes." } });
  const wrong = await client.query("{ noSuchField }", {});

  assert.ok(read.data.viewer.userId, read.error);
  assert.deepEqual(changed.data.updateClaim, { claim: { description: "Two boxes." }, userErrors: [] });
  assert.deepEqual(wrong.error.graphQLErrors.map(({ extensions }) => extensions.code), ["BAD_USER_INPUT"]);
  assert.deepEqual(answers, [[200, PLAIN], [200, PLAIN], [400, PLAIN]]);
});

test("health: a snapshot, then the change", async () => {
  const [arrived, waiting] = [[], []];
  const { unsubscribe } = client.subscription(HEALTH, {}).subscribe((value) => {
    if (waiting.length) waiting.shift()({ value, done: false });
    else arrived.push({ value, done: false });
  });

  await tellsOfHealth({
    next: () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise((hear) => waiting.push(hear))),
  });
  unsubscribe();
  assert.deepEqual(answers.at(-1), [200, "text/event-stream"]);
});
