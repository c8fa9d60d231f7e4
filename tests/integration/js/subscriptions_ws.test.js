// Subscriptions over WebSocket, with graphql-ws itself and with Apollo Client's link over it.

import assert from "node:assert/strict";
import { afterEach, before, test } from "node:test";
import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { GRAPHQL, TOKENS, ask } from "./bff.js";
import { HEALTH, allChecked, breakService, next, tellsOfClaims, tellsOfHealth } from "./streams.js";

const URL = GRAPHQL.replace(/^http/, "ws");
const sockets = [];
class Noted extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
  }
}

const clients = [];
function connect(options = {}) {
  const client = createClient({
    url: URL,
    webSocketImpl: Noted,
    connectionParams: { authorization: `Bearer ${TOKENS.first}` },
    retryAttempts: 0,
    ...options,
  });
  clients.push(client);
  return client;
}

before(allChecked);
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.dispose()));
  sockets.length = 0;
});

test("health: a snapshot, then the change", async () => {
  const events = connect().iterate({ query: HEALTH });

  await tellsOfHealth(events);
  await events.return();
});

test("claims: a snapshot of each, and nothing of another seller's", async () => {
  await tellsOfClaims((query, variables) => connect().iterate({ query, variables }));
});

test("one socket carries queries and subscriptions side by side, and one that ends takes no other along", async () => {
  const client = connect();
  const [one, two] = [client.iterate({ query: HEALTH }), client.iterate({ query: HEALTH })];
  await Promise.all([next(one), next(two)]);
  const query = await next(client.iterate({ query: "{ viewer { userId } }" }));
  await one.return();

  await breakService("integrations");
  const { data } = await next(two);

  assert.ok(query.data.viewer.userId);
  assert.equal(data.serviceHealth.sequence, 2);
  assert.equal(sockets.length, 1);
  await two.return();
});

for (const [name, connectionParams] of [
  ["no token", undefined],
  ["a wrong token", { authorization: "Bearer nonsense" }],
]) {
  test(`${name}: the socket is closed with 4401, which no client tries again`, async () => {
    const client = connect({ connectionParams, retryAttempts: 3, retryWait: async () => {} });

    await assert.rejects(next(client.iterate({ query: HEALTH })), (event) => {
      assert.equal(event.code, 4401, event.message);
      return true;
    });
    assert.equal(sockets.length, 1);
  });
}

test("a document that is wrong is an error of its own, and the socket goes on", async () => {
  const client = connect();
  const events = client.iterate({ query: HEALTH });
  await next(events);

  for (const query of ["subscription { noSuchThing }", "subscription {", `{ ${"x".repeat(500)} }`]) {
    await assert.rejects(next(client.iterate({ query })), (errors) => {
      assert.ok(Array.isArray(errors), String(errors));
      assert.equal(errors[0].extensions.code, "BAD_USER_INPUT");
      return true;
    });
  }
  await breakService("cost-docs");
  assert.equal((await next(events)).data.serviceHealth.sequence, 2);
  assert.equal(sockets.length, 1);
  await events.return();
});

test("a cut connection is made again, and begins with a snapshot", async () => {
  const events = connect({ retryAttempts: 5, retryWait: async () => {}, shouldRetry: () => true }).iterate({ query: HEALTH });
  await next(events);
  sockets[0].terminate();

  const again = (await next(events)).data.serviceHealth;

  assert.deepEqual([again.sequence, again.changedServices], [1, []]);
  assert.equal(sockets.length, 2);
  await events.return();
});

test("Apollo Client's link shows the stream, and keeps what it brings in the cache", async () => {
  const client = new ApolloClient({ link: new GraphQLWsLink(connect()), cache: new InMemoryCache() });
  const services = gql`subscription { serviceHealth { sequence health { services { id name status } } } }`;
  const results = [];
  const arrived = new Promise((resolve) => {
    const screen = client.subscribe({ query: services }).subscribe(({ data, error }) => {
      assert.equal(error, undefined);
      if (results.push(data.serviceHealth) === 2) resolve(screen.unsubscribe());
      else breakService("refund-engine");
    });
  });

  await arrived;

  assert.deepEqual(results.map(({ sequence }) => sequence), [1, 2]);
  const { data } = await ask("{ serviceHealth { services { id name } } }");
  const { id } = data.serviceHealth.services.find(({ name }) => name === "refund-engine");
  assert.equal(client.cache.extract()[`ServiceHealth:${id}`].status, "UNHEALTHY");
});
