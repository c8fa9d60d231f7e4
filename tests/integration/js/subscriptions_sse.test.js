// Subscriptions over server-sent events, with graphql-sse: one HTTP request each, and queries the same way.

import assert from "node:assert/strict";
import { afterEach, before, test } from "node:test";
import { createClient } from "graphql-sse";
import { GRAPHQL, headersOf } from "./bff.js";
import { HEALTH, allChecked, next, tellsOfClaims, tellsOfHealth } from "./streams.js";

const clients = [];
function connect(options = {}) {
  const client = createClient({ url: GRAPHQL, headers: headersOf(), retryAttempts: 0, ...options });
  clients.push(client);
  return client;
}

before(allChecked);
afterEach(() => {
  for (const client of clients.splice(0)) client.dispose();
});

test("health: a snapshot, then the change", async () => {
  const events = connect().iterate({ query: HEALTH });

  await tellsOfHealth(events);
  await events.return();
});

test("claims: a snapshot of each, and nothing of another seller's", async () => {
  await tellsOfClaims((query, variables) => connect().iterate({ query, variables }));
});

test("a query is one event and the end", async () => {
  const events = connect().iterate({ query: "{ viewer { userId } }" });

  assert.ok((await next(events)).data.viewer.userId);
  assert.equal((await events.next()).done, true);
});

test("without a token it is refused with 401, before the stream begins", async () => {
  const client = connect({ headers: {}, retryAttempts: 3, retry: async () => {} });

  await assert.rejects(next(client.iterate({ query: HEALTH })), (error) => {
    assert.equal(error.response?.status, 401, error.message);
    return true;
  });
});

test("a document that is wrong says so with a code", async () => {
  const events = connect().iterate({ query: "subscription { noSuchThing }" });

  let told;
  try {
    told = (await next(events)).errors;
  } catch (error) {
    told = (await error.response.json()).errors; // refused before the stream began: as good
  }
  assert.deepEqual(told.map(({ extensions }) => extensions.code), ["BAD_USER_INPUT"]);
});
