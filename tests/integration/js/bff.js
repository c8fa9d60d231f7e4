// The BFF under test: the pytest test beside this folder starts one for each file here, and says where it is.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse, visit } from "graphql";

export const ADDRESS = process.env.BFF_ADDRESS;
export const GRAPHQL = `${ADDRESS}/graphql`;
export const SCHEMA_FILE = process.env.BFF_SCHEMA_FILE;
export const OPERATIONS_FOLDER = process.env.BFF_OPERATIONS_FOLDER;

// Of two sellers, whose data is never each other's.
export const TOKENS = { first: process.env.BFF_TOKEN_FIRST, second: process.env.BFF_TOKEN_SECOND };

export const headersOf = (seller = "first") => ({ authorization: `Bearer ${TOKENS[seller]}` });

/** Send an operation without any client in between; the answer's body. */
export async function ask(query, variables = {}, seller = "first") {
  const response = await fetch(GRAPHQL, {
    method: "POST",
    headers: { "content-type": "application/json", ...headersOf(seller) },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
}

/** Break or heal services: `{"cost-docs": "down"}`. */
export async function putFaults(words) {
  const response = await fetch(`${ADDRESS}/sandbox/faults`, { method: "PUT", body: JSON.stringify(words) });
  if (!response.ok) throw new Error(await response.text());
}

/** Requests that left for services so far, by service; the monitor's own checks aside. */
export async function upstreamRequests() {
  const text = await (await fetch(`${ADDRESS}/metrics`)).text();
  const counted = {};
  for (const [, labels, value] of text.matchAll(/^bff_operation_upstream_requests_total\{(.*)\} (.*)$/gm)) {
    const service = /service="([^"]+)"/.exec(labels)[1];
    counted[service] = (counted[service] ?? 0) + Number(value);
  }
  return counted;
}

/** What something made the BFF ask of its services, by service. */
export async function upstreamRequestsOf(doing) {
  const before = await upstreamRequests();
  const result = await doing();
  const after = await upstreamRequests();
  const spent = Object.entries(after).map(([service, count]) => [service, count - (before[service] ?? 0)]);
  return { result, requests: Object.fromEntries(spent.filter(([, count]) => count > 0)) };
}

// Words that only Python says.
export const PYTHON = /\b(None|True|False|NoneType|Traceback|\w+Exception|[A-Z]\w+Error|kwargs|coroutine)\b|<class|\.py\b|__init__/;

/** The files of `operations/`: where each is, and its document. */
export function operationFiles() {
  const files = readdirSync(OPERATIONS_FOLDER).filter((name) => name.endsWith(".graphql"));
  return files.map((name) => {
    const location = join(OPERATIONS_FOLDER, name);
    return { location, document: parse(readFileSync(location, "utf8")) };
  });
}

/** A stored operation with the fragments that it needs, as codegen gives it to a screen. */
export function storedOperation(name) {
  const definitions = operationFiles().flatMap(({ document }) => document.definitions);
  const found = new Set();
  const take = (kind, wanted) => {
    const definition = definitions.find((each) => each.kind === kind && each.name.value === wanted);
    if (found.has(definition)) return;
    found.add(definition);
    visit(definition, { FragmentSpread: (spread) => take("FragmentDefinition", spread.name.value) });
  };
  take("OperationDefinition", name);
  return { kind: "Document", definitions: [...found] };
}
