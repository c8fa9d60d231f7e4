// A mutation into Apollo Client's cache: every screen that shows the claim shows it changed, without asking again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { filter, firstValueFrom } from "rxjs";
import { GRAPHQL, ask, headersOf, storedOperation, upstreamRequestsOf } from "./bff.js";

const LIST = gql`
  query List {
    claims(first: 3) { nodes { id description claimedAmount { amount currencyCode } updatedAt } }
  }
`;
const UPDATE = gql`
  mutation Update($input: UpdateClaimInput!) {
    updateClaim(input: $input) {
      claim { id description claimedAmount { amount currencyCode } updatedAt }
      userErrors { field code message }
    }
  }
`;

const clientOf = (seller = "first") =>
  new ApolloClient({ link: new HttpLink({ uri: GRAPHQL, headers: headersOf(seller) }), cache: new InMemoryCache() });

/** A list on a screen: what it shows now, and what it shows when a condition holds. */
async function shown(client) {
  const watched = client.watchQuery({ query: LIST });
  const screen = watched.subscribe(() => {});
  const once = (condition) => firstValueFrom(watched.pipe(filter((result) => !result.loading && condition(result.data))));
  const first = await once(() => true);
  return { nodes: first.data.claims.nodes, once, leave: () => screen.unsubscribe() };
}

test("a changed claim is changed in the list that shows it, and the list is not asked for again", async () => {
  const client = clientOf();
  const { nodes, once, leave } = await shown(client);
  const { id } = nodes[1];
  const changed = ({ claims }) => claims.nodes[1].description === "Crushed by a forklift.";

  const { result, requests } = await upstreamRequestsOf(() =>
    client.mutate({
      mutation: UPDATE,
      variables: {
        input: {
          claimId: id,
          description: "Crushed by a forklift.",
          claimedAmount: { amount: "123.45", currencyCode: "USD" },
        },
      },
    }),
  );
  const after = await once(changed);
  leave();

  assert.deepEqual(result.data.updateClaim.userErrors, []);
  assert.deepEqual(after.data.claims.nodes[1].claimedAmount, { __typename: "Money", amount: "123.45", currencyCode: "USD" });
  assert.deepEqual(after.data.claims.nodes[0], nodes[0]);
  assert.deepEqual(Object.keys(requests), ["refund-engine"]);
  const fresh = await ask("query ($id: ID!) { claim(id: $id) { description claimedAmount { amount } } }", { id });
  assert.deepEqual(fresh.data.claim, { description: "Crushed by a forklift.", claimedAmount: { amount: "123.45" } });
});

test("what a person can mend comes as data, and the list stays as it was", async () => {
  const client = clientOf();
  const { nodes, leave } = await shown(client);

  const { data, error } = await client.mutate({
    mutation: UPDATE,
    variables: { input: { claimId: nodes[0].id, claimedAmount: { amount: "1.00", currencyCode: "EUR" } } },
  });

  assert.equal(error, undefined);
  assert.equal(data.updateClaim.claim, null);
  assert.equal(data.updateClaim.userErrors.length, 1);
  assert.deepEqual((await client.query({ query: LIST })).data.claims.nodes, nodes);
  leave();
});

test("somebody else's claim is not changed", async () => {
  const { claims } = (await clientOf("second").query({ query: LIST })).data;
  const theirs = claims.nodes[0];

  const { data } = await clientOf().mutate({
    mutation: UPDATE,
    variables: { input: { claimId: theirs.id, description: "Mine now." } },
    errorPolicy: "all",
  });

  assert.equal(data.updateClaim.claim, null);
  assert.equal(data.updateClaim.userErrors.length, 1);
  const still = await ask("query ($id: ID!) { claim(id: $id) { description } }", { id: theirs.id }, "second");
  assert.equal(still.data.claim.description, theirs.description);
});

test("the screen's own stored mutation does the same", async () => {
  const client = clientOf();
  const { nodes, once, leave } = await shown(client);

  await client.mutate({
    mutation: storedOperation("UpdateClaim"),
    variables: { input: { claimId: nodes[2].id, claimedAmount: { amount: "77.70", currencyCode: "USD" } } },
  });

  const after = await once(({ claims }) => claims.nodes[2].claimedAmount.amount === "77.70");
  assert.notEqual(after.data.claims.nodes[2].updatedAt, nodes[2].updatedAt);
  leave();
});
