// What every transport of subscriptions must carry: the same stories, told over WebSocket, multipart and SSE.

import assert from "node:assert/strict";
import { ask, putFaults } from "./bff.js";

export const HEALTH = /* GraphQL */ `
  subscription Health {
    serviceHealth {
      sequence
      health { healthyCount totalCount services { name status } }
      changedServices { name status reason }
    }
  }
`;
export const CLAIMS = /* GraphQL */ `
  subscription Claims($claimIds: [ID!]!) {
    claimUpdated(claimIds: $claimIds) { sequence previousStatus claim { id caseNumber status } }
  }
`;

/** Ids of a seller's newest claims. */
export async function claimIds(seller, count = 2) {
  const { data } = await ask(`{ claims(first: ${count}) { nodes { id } } }`, {}, seller);
  return data.claims.nodes.map(({ id }) => id);
}

const READS = {
  stripe: "{ payments(first: 1) { totalCount } }",
  integrations: "{ integrations { provider } }",
  "cost-docs": "{ documents(first: 1) { totalCount } }",
  "refund-engine": "{ claims(first: 1) { totalCount } }",
};

/**
 * Three viewers in a row do not get an answer of a service: it is unhealthy without waiting for a check.
 *
 * It stays so: each test of a file breaks a service of its own.
 */
export async function breakService(service) {
  await putFaults({ [service]: "down" });
  for (let viewer = 0; viewer < 3; viewer += 1) await ask(READS[service]);
}

/** Wait for the first round of checks, whose end would be a change of its own. */
export async function allChecked() {
  for (let tries = 0; tries < 100; tries += 1) {
    const { data } = await ask("{ serviceHealth { checkedAt } }");
    if (data.serviceHealth.checkedAt) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("the services were not checked in five seconds");
}

/** The next of a stream's events, or a failure after ten seconds. */
export async function next(events) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("no event in ten seconds")), 10_000).unref();
  });
  const { value, done } = await Promise.race([events.next(), late]);
  assert.ok(!done, "the stream has ended");
  return value;
}

/** Health over any transport: the snapshot, then the change, whole both times. */
export async function tellsOfHealth(events) {
  const snapshot = (await next(events)).data.serviceHealth;
  assert.equal(snapshot.sequence, 1);
  assert.deepEqual(snapshot.changedServices, []);
  assert.equal(snapshot.health.services.length, 6);

  await breakService("stripe");
  const changed = (await next(events)).data.serviceHealth;
  assert.equal(changed.sequence, 2);
  assert.deepEqual(changed.changedServices.map(({ name, status }) => [name, status]), [["stripe", "UNHEALTHY"]]);
  assert.equal(changed.health.services.find(({ name }) => name === "stripe").status, "UNHEALTHY");
  assert.equal(changed.health.totalCount, 6);
}

/** Claims over any transport: one snapshot each, of the viewer's own only. */
export async function tellsOfClaims(subscribe) {
  const [own, theirs] = [await claimIds("first"), await claimIds("second", 1)];
  const events = subscribe(CLAIMS, { claimIds: own });
  const seen = [(await next(events)).data.claimUpdated, (await next(events)).data.claimUpdated];
  await events.return?.();

  assert.deepEqual(seen.map(({ sequence }) => sequence), [1, 2]);
  assert.deepEqual(seen.map(({ claim }) => claim.id).sort(), [...own].sort());
  assert.deepEqual(seen.map(({ previousStatus }) => previousStatus), [null, null]);

  const strangers = subscribe(CLAIMS, { claimIds: theirs });
  const answer = await Promise.race([
    strangers.next().then(({ value }) => value, () => undefined),
    new Promise((resolve) => setTimeout(resolve, 1500).unref()),
  ]);
  await strangers.return?.();
  assert.equal(answer?.data?.claimUpdated, undefined, "somebody else's claim was shown");
}
