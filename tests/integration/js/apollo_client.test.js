// Apollo Client over HTTP: what it caches, how it pages, and what a screen learns when a service is down.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { filter, firstValueFrom } from "rxjs";
import { GRAPHQL, ask, headersOf, putFaults, upstreamRequestsOf } from "./bff.js";

const clientOf = (seller = "first", headers = {}) =>
  new ApolloClient({
    link: new HttpLink({ uri: GRAPHQL, headers: { ...headersOf(seller), ...headers } }),
    cache: new InMemoryCache({
      typePolicies: {
        Query: {
          fields: {
            claims: relayStylePagination(["filter", "orderBy"]),
            claim: (known, { args, toReference }) => known ?? toReference({ __typename: "Claim", id: args.id }),
          },
        },
      },
    }),
  });

const PAGE = gql`
  query Page($first: Int!, $after: String) {
    claims(first: $first, after: $after) {
      totalCount
      edges { cursor node { id caseNumber status claimedAmount { amount currencyCode } } }
      pageInfo { hasNextPage endCursor hasPreviousPage startCursor }
    }
  }
`;
const ROW = gql`
  query Row($id: ID!) {
    claim(id: $id) { id caseNumber status claimedAmount { amount currencyCode } }
  }
`;
const PAYMENTS = gql`
  query Payments {
    claims(first: 3) {
      edges { node { id caseNumber payments { totalCount nodes { id status } } } }
    }
  }
`;

const REHEARSED = { "x-rehearse": "stripe=down" }; // an outage for the requests that ask for it, and nobody else

/** Begin to watch a query, as a screen does; its first whole result. */
async function watch(client, options) {
  const watched = client.watchQuery(options);
  const screen = watched.subscribe(() => {});
  const first = await firstValueFrom(watched.pipe(filter(({ loading }) => !loading)));
  return { watched, first, leave: () => screen.unsubscribe() };
}

afterEach(() => putFaults({ stripe: "ok" }));

test("a claim seen in a list is one object in the cache, and is not asked for again", async () => {
  const client = clientOf();
  const page = (await client.query({ query: PAGE, variables: { first: 5 } })).data;
  const listed = page.claims.edges[2].node;

  const { result, requests } = await upstreamRequestsOf(() =>
    client.query({ query: ROW, variables: { id: listed.id } }),
  );

  assert.deepEqual(result.data.claim, listed);
  assert.deepEqual(requests, {});
  const kept = Object.keys(client.cache.extract()).filter((key) => key.startsWith("Claim:"));
  assert.deepEqual(kept.sort(), page.claims.edges.map(({ node }) => `Claim:${node.id}`).sort());
});

test("two queries that share objects write to the same ones", async () => {
  const client = clientOf();
  const { id } = (await client.query({ query: PAGE, variables: { first: 5 } })).data.claims.edges[0].node;

  await client.query({
    query: gql`query ($id: ID!) { node(id: $id) { id ... on Claim { description timeline { totalCount } } } }`,
    variables: { id },
  });

  const kept = client.cache.extract()[`Claim:${id}`];
  assert.ok("description" in kept && "caseNumber" in kept, "what the list and what the page asked for");
});

test("pages follow each other without a repeat and without a gap", async () => {
  const client = clientOf();
  const { watched, first, leave } = await watch(client, { query: PAGE, variables: { first: 25 } });
  let { claims } = first.data;
  let asked = 1;
  while (claims.pageInfo.hasNextPage && asked < 10) {
    const shown = claims.edges.length;
    await watched.fetchMore({ variables: { first: 25, after: claims.pageInfo.endCursor } });
    const more = ({ loading, data }) => !loading && data.claims.edges.length > shown;
    ({ claims } = (await firstValueFrom(watched.pipe(filter(more)))).data);
    asked += 1;
  }
  leave();

  const ids = claims.edges.map(({ node }) => node.id);
  assert.equal(asked, 5);
  assert.equal(claims.totalCount, 120);
  assert.equal(ids.length, 120);
  assert.equal(new Set(ids).size, 120);
  const inOne = await ask("{ claims(first: 100) { nodes { id } } }");
  assert.deepEqual(ids.slice(0, 100), inOne.data.claims.nodes.map(({ id }) => id));
});

test("the clients of two sellers hold nothing in common", async () => {
  const pages = await Promise.all(
    ["first", "second"].map((seller) => clientOf(seller).query({ query: PAGE, variables: { first: 100 } })),
  );
  const [first, second] = pages.map(({ data }) => new Set(data.claims.edges.map(({ node }) => node.id)));

  assert.ok(first.size > 3 && second.size > 3);
  assert.deepEqual([...first].filter((id) => second.has(id)), []);
});

test('errorPolicy "none": one missing field makes the whole query an error, with its code', async () => {
  const client = clientOf("first", REHEARSED);

  await assert.rejects(client.query({ query: PAYMENTS, errorPolicy: "none" }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error));
    assert.deepEqual(error.errors.map(({ extensions }) => extensions.code), Array(3).fill("SERVICE_UNAVAILABLE"));
    return true;
  });
});

test('errorPolicy "all": the screen is there, with a null and an error at each seam', async () => {
  await putFaults({ stripe: "down" });

  const { data, error } = await clientOf().query({ query: PAYMENTS, errorPolicy: "all" });

  assert.ok(data.claims.edges.every(({ node }) => node.caseNumber));
  assert.deepEqual(data.claims.edges.map(({ node }) => node.payments), [null, null, null]);
  assert.ok(CombinedGraphQLErrors.is(error));
  for (const [nth, { path, extensions }] of error.errors.entries()) {
    assert.deepEqual(path, ["claims", "edges", nth, "node", "payments"]);
    const { supportCode, ...told } = extensions;
    assert.deepEqual(told, { code: "SERVICE_UNAVAILABLE", service: "stripe", retryable: true, retryAfterMs: null });
    assert.match(supportCode, /^OP-[0-9A-F]{8}$/);
  }
});

test('errorPolicy "ignore": the same data, and silence', async () => {
  const { data, error } = await clientOf("first", REHEARSED).query({ query: PAYMENTS, errorPolicy: "ignore" });

  assert.equal(error, undefined);
  assert.deepEqual(data.claims.edges.map(({ node }) => node.payments), [null, null, null]);
});

test("a null that was an outage is replaced when the service is back", async () => {
  const client = clientOf();
  await putFaults({ stripe: "down" });
  const { watched, first, leave } = await watch(client, { query: PAYMENTS, errorPolicy: "all" });
  await putFaults({ stripe: "ok" });

  const found = await watched.refetch();
  leave();

  assert.deepEqual(first.data.claims.edges.map(({ node }) => node.payments), [null, null, null]);
  assert.equal(found.error, undefined);
  assert.ok(found.data.claims.edges.every(({ node }) => typeof node.payments.totalCount === "number"));
});

test("what the client got wrong has a code, too", async () => {
  const { error } = await clientOf().query({ query: PAGE, variables: { first: 101 }, errorPolicy: "all" });

  assert.deepEqual(error.errors.map(({ extensions }) => extensions.code), ["BAD_USER_INPUT"]);
  assert.match(error.errors[0].message, /from 1 to 100/);
});

test("a page of another origin may send every header that Apollo Client adds by itself", async () => {
  const sent = [];
  const link = new HttpLink({
    uri: GRAPHQL,
    headers: headersOf(),
    fetch: (uri, options) => {
      sent.push(...Object.keys(options.headers));
      return fetch(uri, options);
    },
  });
  const clientAwareness = { name: "web", version: "1.2.3" };
  const client = new ApolloClient({ link, cache: new InMemoryCache(), clientAwareness });
  await client.query({ query: gql("{ viewer { userId } }") });

  const preflight = await fetch(GRAPHQL, {
    method: "OPTIONS",
    headers: {
      origin: "http://localhost:5173",
      "access-control-request-method": "POST",
      "access-control-request-headers": sent.join(", "),
    },
  });

  assert.ok(sent.includes("apollographql-client-name"), sent.join(", "));
  assert.equal(preflight.status, 200, await preflight.text());
  assert.equal(preflight.headers.get("access-control-allow-origin"), "http://localhost:5173");
});
