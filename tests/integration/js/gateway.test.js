// Apollo's gateway crosses between the BFF and a neighbour, both ways, and what fails costs its own place only.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PYTHON, ask, headersOf, putFaults, upstreamRequestsOf } from "./bff.js";
import { startGateway } from "./federation.js";

const encoded = (text) => Buffer.from(text).toString("base64");
const NOBODYS = encoded("Claim:00000000-0000-4000-8000-000000000000");
const PINNED = "{ pinnedClaims { id caseNumber claimedAmount { amount } notes { text } } }";

let gateway;
let ids; // of the first seller's claims, newest first
let theirs; // of the second seller's
let pinned = [];

const pin = (...claimIds) => {
  pinned = claimIds.map((id) => ({ id }));
};
const run = async (query, options = { headers: headersOf() }) => {
  gateway.fetches.length = 0;
  return gateway.run(query, options);
};
const fetchesOf = (subgraph) => gateway.fetches.filter((fetch) => fetch.subgraph === subgraph);

before(async () => {
  gateway = await startGateway({ pinned: () => pinned });
  const query = "{ claims(first: 100) { nodes { id } } }";
  ids = (await ask(query)).data.claims.nodes.map((claim) => claim.id);
  theirs = (await ask(query, {}, "second")).data.claims.nodes.map((claim) => claim.id);
  assert.equal(ids.length, 100);
});
after(() => gateway.stop());

test("from a page of ours to the neighbour: a hundred claims with their notes", async () => {
  const { data, errors } = await run("{ claims(first: 100) { nodes { id caseNumber notes { text } } } }");

  assert.equal(errors, undefined);
  assert.equal(data.claims.nodes.length, 100);
  assert.ok(data.claims.nodes.every((claim) => claim.caseNumber && claim.notes[0].text === "Call back."));
  assert.deepEqual(gateway.fetches.map((fetch) => fetch.subgraph), ["opside", "neighbour"]);
});

test("from the neighbour to us: a hundred claims are one fetch and one upstream request", async () => {
  const spent = [];
  for (const count of [10, 100]) {
    pin(...ids.slice(0, count));
    const { result, requests } = await upstreamRequestsOf(() => run(PINNED));

    assert.equal(result.errors, undefined);
    assert.equal(result.data.pinnedClaims.length, count);
    assert.deepEqual(result.data.pinnedClaims.map((claim) => claim.id), ids.slice(0, count));
    assert.ok(result.data.pinnedClaims.every((claim) => claim.caseNumber && claim.claimedAmount.amount));
    const [fetch, ...more] = fetchesOf("opside");
    assert.deepEqual(more, []);
    assert.equal(fetch.variables.representations.length, count);
    spent.push(requests);
  }
  console.log("upstream requests for 10 and for 100 representations:", JSON.stringify(spent));
  assert.deepEqual(spent, [{ "refund-engine": 1 }, { "refund-engine": 1 }]);
});

test("there and back again: our claims inside the neighbour's notes inside our claims", async () => {
  const { data, errors } = await run(
    "{ claims(first: 20) { nodes { id notes { claim { id status documents(first: 1) { totalCount } } } } } }",
  );

  assert.equal(errors, undefined);
  for (const claim of data.claims.nodes) {
    assert.equal(claim.notes[0].claim.id, claim.id);
    assert.equal(typeof claim.notes[0].claim.documents.totalCount, "number");
  }
  assert.deepEqual(gateway.fetches.map((fetch) => fetch.subgraph), ["opside", "neighbour", "opside"]);
});

test("a representation that is wrong, unknown or somebody else's costs its own place", async () => {
  pin(ids[0], "garbage", NOBODYS, theirs[0], encoded("Payment:1"), ids[1]);

  const { data, errors } = await run(PINNED);

  assert.deepEqual(data.pinnedClaims.map((claim) => claim?.caseNumber != null), [
    true, false, false, false, false, true,
  ]);
  // Nobody's and somebody else's are "none", and look alike; the two that name no claim say what they are.
  assert.deepEqual(errors.map((error) => error.extensions.code), ["BAD_USER_INPUT", "BAD_USER_INPUT"]);
  for (const error of errors) assert.doesNotMatch(error.message, PYTHON);
});

test("the other seller sees her own through the same gateway, and nothing of the first", async () => {
  pin(ids[0], theirs[0], ids[1]);

  const { data, errors } = await run(PINNED, { headers: headersOf("second") });

  assert.equal(errors, undefined);
  assert.deepEqual(data.pinnedClaims.map((claim) => claim?.caseNumber != null), [false, true, false]);
});

test("without a token the neighbour's part is there, and ours says UNAUTHENTICATED", async () => {
  pin(ids[0]);

  const { data, errors } = await run("{ pinnedClaims { id caseNumber } }", { headers: {} });

  assert.deepEqual(data.pinnedClaims, [null]);
  assert.deepEqual(errors.map((error) => error.extensions.code), ["UNAUTHENTICATED"]);
});

test("an owner that is down costs its fields: through the router, with the code and the service", async () => {
  pin(...ids.slice(0, 3));
  await putFaults({ stripe: "down" });
  try {
    const { data, errors } = await run("{ pinnedClaims { id caseNumber payments { totalCount } notes { text } } }");

    assert.ok(data.pinnedClaims.every((claim) => claim.caseNumber && claim.notes.length === 1));
    assert.deepEqual(data.pinnedClaims.map((claim) => claim.payments), [null, null, null]);
    assert.deepEqual(
      errors.map((error) => [error.extensions.code, error.extensions.service]),
      Array(3).fill(["SERVICE_UNAVAILABLE", "stripe"]),
    );
    for (const error of errors) assert.match(error.extensions.supportCode, /^OP-/);
  } finally {
    await putFaults({ stripe: "ok" });
  }
});

test("more representations than one fetch may name are refused with a code, and ask nobody", async () => {
  const representations = Array(2000).fill({ __typename: "Claim", id: ids[0] });
  const query = "query ($all: [_Any!]!) { _entities(representations: $all) { __typename } }";

  const { result, requests } = await upstreamRequestsOf(() => ask(query, { all: representations }));

  assert.equal(result.data ?? null, null);
  assert.deepEqual(result.errors.map((error) => error.extensions.code), ["QUERY_TOO_COMPLEX"]);
  assert.deepEqual(requests, {});
});

test("`node` is the neighbour's own in the supergraph, and still ours at our own door", async () => {
  const { data, errors } = await run('{ node(id: "note-1") { __typename id } }');
  const atOurs = await ask("query ($id: ID!) { node(id: $id) { __typename id } }", { id: ids[0] });

  assert.equal(errors, undefined);
  assert.deepEqual({ ...data.node }, { __typename: "Note", id: "note-1" });
  assert.deepEqual(atOurs.data, { node: { __typename: "Claim", id: ids[0] } });
});
