// Automatic persisted queries, as Apollo Client's own link speaks them: the hash first, the document once.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { test } from "node:test";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { print } from "graphql";
import { GRAPHQL, headersOf } from "./bff.js";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

/** A client with the link, and what it sent: whether each request carried the document, and how it went. */
function persisting({ seller = "first", ...options } = {}) {
  const sent = [];
  const noting = async (url, request) => {
    const asked = request.body ? JSON.parse(request.body) : Object.fromEntries(new URL(url).searchParams);
    const response = await fetch(url, request);
    sent.push({ method: request.method, document: Boolean(asked.query), status: response.status });
    return response;
  };
  const client = new ApolloClient({
    link: new PersistedQueryLink({ sha256, ...options }).concat(
      new HttpLink({ uri: GRAPHQL, headers: headersOf(seller), fetch: noting }),
    ),
    cache: new InMemoryCache(),
    defaultOptions: { query: { fetchPolicy: "no-cache" } },
  });
  return { client, sent };
}

/** A document that nobody has sent before. */
const fresh = () => gql(`query Fresh_${randomUUID().replaceAll("-", "")} { viewer { userId } claims(first: 1) { totalCount } }`);

test("an unknown hash is asked for once, and from then on the hash is enough", async () => {
  const { client, sent } = persisting();
  const query = fresh();

  const first = await client.query({ query });
  const second = await client.query({ query });

  assert.deepEqual(second.data, first.data);
  assert.ok(first.data.claims.totalCount > 0);
  assert.deepEqual(sent.map(({ document }) => document), [false, true, false]);
});

test("a known hash answers everybody with what is their own", async () => {
  const query = fresh();
  const { data: first } = await persisting().client.query({ query });
  const { client, sent } = persisting({ seller: "second" });

  const { data: second } = await client.query({ query });

  assert.deepEqual(sent.map(({ document }) => document), [false]);
  assert.notEqual(second.viewer.userId, first.viewer.userId);
});

test("hashes work with GET, which caches between us can use", async () => {
  const { client, sent } = persisting({ useGETForHashedQueries: true });
  const query = fresh();

  await client.query({ query });
  const { data } = await client.query({ query });

  assert.ok(data.claims.totalCount > 0);
  assert.deepEqual(sent.map(({ method, document }) => [method, document]), [["GET", false], ["POST", true], ["GET", false]]);
});

test("a document that is not what its hash says is refused, and kept under no name", async () => {
  const send = async (body) => {
    const response = await fetch(GRAPHQL, {
      method: "POST",
      headers: { "content-type": "application/json", ...headersOf() },
      body: JSON.stringify(body),
    });
    return (await response.json()).errors.map(({ extensions }) => extensions.code);
  };
  const stolen = { persistedQuery: { version: 1, sha256Hash: sha256(print(fresh())) } };

  const told = await send({ query: print(fresh()), extensions: stolen });

  assert.deepEqual(told, ["PERSISTED_QUERY_HASH_MISMATCH"]);
  assert.deepEqual(await send({ extensions: stolen }), ["PERSISTED_QUERY_NOT_FOUND"]);
});

test("a document that is not valid is an error of its own, and is not kept", async () => {
  const { client, sent } = persisting();
  const query = gql(`query Wrong_${randomUUID().replaceAll("-", "")} { noSuchField }`);

  for (let time = 0; time < 2; time += 1) {
    await assert.rejects(client.query({ query }), (error) => {
      assert.ok(CombinedGraphQLErrors.is(error));
      assert.match(error.message, /noSuchField/);
      return true;
    });
  }
  assert.deepEqual(sent.map(({ document }) => document), [false, true, false, true]);
});
