// Subscriptions over multipart HTTP, as Apollo Client asks for them when nothing else is set up.

import assert from "node:assert/strict";
import { afterEach, before, test } from "node:test";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GRAPHQL, headersOf } from "./bff.js";
import { HEALTH, allChecked, next, tellsOfClaims, tellsOfHealth } from "./streams.js";

const screens = [];
before(allChecked);
afterEach(() => {
  for (const screen of screens.splice(0)) screen.unsubscribe();
});

/** A subscription of Apollo Client as a stream of results. */
function stream(query, variables, headers = headersOf()) {
  const client = new ApolloClient({ link: new HttpLink({ uri: GRAPHQL, headers }), cache: new InMemoryCache() });
  const [arrived, waiting] = [[], []];
  const push = (result) => (waiting.length ? waiting.shift()(result) : arrived.push(result));
  const screen = client.subscribe({ query: gql(query), variables }).subscribe({
    next: (value) => push({ value, done: false }),
    complete: () => push({ done: true }),
  });
  screens.push(screen);
  return {
    next: () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise((resolve) => waiting.push(resolve))),
    return: async () => screen.unsubscribe(),
  };
}

test("health: a snapshot, then the change", () => tellsOfHealth(stream(HEALTH)));

test("claims: a snapshot of each, and nothing of another seller's", () => tellsOfClaims(stream));

test("without a token it is refused before the stream begins, with a code", async () => {
  const { error } = await next(stream(HEALTH, {}, {}));

  const told = error.errors ?? JSON.parse(error.bodyText).errors;
  assert.deepEqual(told.map(({ extensions }) => extensions.code), ["UNAUTHENTICATED"]);
});
