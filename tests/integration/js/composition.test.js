// The BFF's schema composes into supergraphs: alone, and beside a neighbour with claims, pages and nodes of its own.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { composeServices as composeHive } from "@theguild/federation-composition";
import { buildSchema, parse } from "graphql";
import { NEIGHBOUR, compose, subgraphSchema } from "./federation.js";

let opside;
before(async () => {
  opside = await subgraphSchema();
});

const ALONE = { name: "alone", subgraphs: () => ({ opside }) };
const BESIDE = { name: "beside a neighbour", subgraphs: () => ({ opside, neighbour: NEIGHBOUR }) };

for (const { name, subgraphs } of [ALONE, BESIDE]) {
  test(`Apollo composes it ${name}, without errors and without hints`, () => {
    const { supergraphSdl, errors, hints } = compose(subgraphs());

    console.log(`${name}: ${errors.length} errors, ${hints.length} hints`, ...hints);
    assert.deepEqual({ errors, hints }, { errors: [], hints: [] });
    assert.match(supergraphSdl, /type Claim implements Node/);
  });

  test(`Hive composes it ${name}`, () => {
    const services = Object.entries(subgraphs()).map(([service, sdl]) => ({
      name: service,
      url: `http://${service}.test`,
      typeDefs: parse(sdl),
    }));

    const { supergraphSdl, errors = [] } = composeHive(services);

    assert.deepEqual(errors.map((error) => error.message), []);
    assert.match(supergraphSdl, /type Claim implements Node/);
  });
}

test("a neighbour that claims a field of ours is refused, so the checks above can fail", () => {
  const greedy = NEIGHBOUR.replace("notes: [Note!]!", "notes: [Note!]! caseNumber: String!");

  const { errors } = compose({ opside, greedy });

  assert.equal(errors.length, 1);
  assert.match(errors[0], /INVALID_FIELD_SHARING.*Claim\.caseNumber/);
});

test("a tool that knows GraphQL only can read what the router is told", () => {
  const schema = buildSchema(opside);

  assert.equal(schema.getQueryType().getFields().node, undefined);
  assert.ok(schema.getQueryType().getFields().claims);
  assert.ok(schema.getDirective("upstream"));
});
