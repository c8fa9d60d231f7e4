// A BFF that leaves politely and comes back: whoever watched goes on watching, without a word to the user.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { createClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import WebSocket from "ws";
import { headersOf } from "./bff.js";
import { HEALTH } from "./streams.js";

const port = await freePort();
const url = `http://127.0.0.1:${port}/graphql`;
const BETWEEN_TRIES_MS = 200;
let bff;

before(async () => {
  bff = await start();
});
after(() => stop(bff));

test("graphql-sse, Apollo's multipart and graphql-ws connect again after a SIGTERM", async () => {
  const watched = { sse: watch(overEvents), multipart: watch(overMultipart), socket: watch(overSocket) };
  for (const each of Object.values(watched)) await told(each, 1);

  await stop(bff);
  bff = await start();

  for (const [name, each] of Object.entries(watched)) {
    await told(each, 2);
    assert.deepEqual([name, each.sequences, each.ended], [name, [1, 1], null]);
    each.stop();
  }
});

function overEvents(sink) {
  const retry = () => new Promise((again) => setTimeout(again, BETWEEN_TRIES_MS));
  const client = createClient({ url, headers: headersOf(), retryAttempts: 1000, retry });
  return client.subscribe({ query: HEALTH }, sink);
}

function overMultipart(sink) {
  const retry = new RetryLink({ attempts: { max: 1000 }, delay: { initial: BETWEEN_TRIES_MS, max: BETWEEN_TRIES_MS } });
  const link = ApolloLink.from([retry, new HttpLink({ uri: url, headers: headersOf() })]);
  const screen = new ApolloClient({ link, cache: new InMemoryCache() }).subscribe({ query: gql(HEALTH) });
  const subscription = screen.subscribe(sink);
  return () => subscription.unsubscribe();
}

function overSocket(sink) {
  const client = createSocketClient({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: headersOf(),
    retryAttempts: 1000,
    shouldRetry: () => true, // also what refuses connections, for the while in which nobody is there
    retryWait: () => new Promise((again) => setTimeout(again, BETWEEN_TRIES_MS)),
  });
  return client.subscribe({ query: HEALTH }, sink);
}

/** What one client is told of the first event of each connection, and how it ended, if it did. */
function watch(connect) {
  const watched = { sequences: [], ended: null };
  watched.stop = connect({
    next: ({ data, error }) => {
      if (!data) watched.ended ??= String(error);
      else if (data.serviceHealth.sequence === 1) watched.sequences.push(1);
    },
    error: (error) => (watched.ended ??= `error: ${error}`),
    complete: () => (watched.ended ??= "complete"),
  });
  return watched;
}

async function told(watched, connections) {
  for (let tries = 0; tries < 300 && watched.sequences.length < connections && !watched.ended; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function start() {
  const env = { ...process.env, BFF_DRAIN_LEAD_S: "0" };
  const running = spawn(process.env.BFF_COMMAND, ["dev", "--port", String(port), "--claims", "10"], { env });
  for (let tries = 0; tries < 300; tries += 1) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (ready?.ok) return running;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  running.kill();
  return assert.fail("the BFF did not start within 30 s");
}

async function stop(running) {
  const gone = once(running, "exit");
  running.kill("SIGTERM");
  assert.deepEqual(await gone, [0, null]);
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address();
  server.close();
  await once(server, "close");
  return free;
}
