// What Apollo Client makes of a request that is refused as a whole: errors with codes, never text it cannot read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GRAPHQL, headersOf } from "./bff.js";

const QUERY = gql("{ viewer { userId } }");

const refused = async (headers, query = QUERY) => {
  const client = new ApolloClient({ link: new HttpLink({ uri: GRAPHQL, headers }), cache: new InMemoryCache() });
  try {
    await client.query({ query });
  } catch (error) {
    return error;
  }
  assert.fail("it was answered");
};

for (const [name, headers, query, code] of [
  ["no token", {}, QUERY, "UNAUTHENTICATED"],
  ["a wrong token", { authorization: "Bearer nonsense" }, QUERY, "UNAUTHENTICATED"],
  ["a budget that is none", { ...headersOf(), "x-request-budget": "soon" }, QUERY, "BAD_USER_INPUT"],
  ["a field that does not exist", headersOf(), gql("{ noSuchField }"), "BAD_USER_INPUT"],
]) {
  test(`${name}: ${code} is where a client looks for it`, async () => {
    const error = await refused(headers, query);

    assert.ok(CombinedGraphQLErrors.is(error), `${error.name}: ${error.message}`);
    assert.deepEqual(error.errors.map(({ extensions }) => extensions.code), [code]);
    assert.match(error.errors[0].extensions.supportCode, /^OP-/);
  });
}
