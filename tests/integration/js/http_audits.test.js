// GraphQL over HTTP, as graphql-http's own audits read the specification: every MUST, SHOULD and MAY of them.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { serverAudits } from "graphql-http";
import { GRAPHQL, headersOf } from "./bff.js";

const AUDITS = 61; // of graphql-http 1.23: another number is another reading of the specification

const audits = serverAudits({
  url: GRAPHQL,
  fetchFn: (url, options = {}) => fetch(url, { ...options, headers: { ...options.headers, ...headersOf() } }),
});
let passed = 0;

after(() => console.log(`graphql-http: ${passed} of ${audits.length} audits passed`));

test("all of the audits are run", () => assert.equal(audits.length, AUDITS));

for (const audit of audits) {
  test(`${audit.id} ${audit.name}`, async () => {
    const { status, reason } = await audit.fn();

    assert.equal(status, "ok", reason);
    passed += 1;
  });
}
