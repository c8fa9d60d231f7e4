// A supergraph of the BFF and a neighbour: a graph of another team, in this process, that writes notes on claims.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { parse } from "graphql";
import { ADDRESS, GRAPHQL, ask } from "./bff.js";

const require = createRequire(import.meta.url); // Apollo's gateway is CommonJS, and must share our `graphql`
const { composeServices } = require("@apollo/composition");
const { ApolloGateway, LocalGraphQLDataSource, RemoteGraphQLDataSource } = require("@apollo/gateway");
const { buildSubgraphSchema } = require("@apollo/subgraph");

export const NEIGHBOUR = /* GraphQL */ `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])

  interface Node {
    id: ID!
  }
  type PageInfo @shareable {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: String
    endCursor: String
  }
  type Claim @key(fields: "id") {
    id: ID!
    notes: [Note!]!
  }
  type Note implements Node @key(fields: "id") {
    id: ID!
    text: String!
    claim: Claim!
  }
  type NoteEdge {
    cursor: String!
    node: Note!
  }
  type NoteConnection {
    edges: [NoteEdge!]!
    pageInfo: PageInfo!
  }
  type Query {
    node(id: ID!): Node
    notes(first: Int, after: String): NoteConnection!
    pinnedClaims: [Claim]!
  }
`;

/** The schema that the BFF shows to routers. */
export async function subgraphSchema() {
  const { data, errors } = await ask("{ _service { sdl } }");
  assert.equal(errors, undefined);
  return data._service.sdl;
}

/** Compose subgraphs, by name: Apollo's own answer, with errors and hints as lines to read. */
export function compose(subgraphs) {
  const services = Object.entries(subgraphs).map(([name, sdl]) => ({
    name,
    url: `http://${name}.test/graphql`,
    typeDefs: parse(sdl),
  }));
  const { supergraphSdl, errors = [], hints = [] } = composeServices(services);
  return {
    supergraphSdl,
    errors: errors.map((error) => `${error.extensions?.code}: ${error.message}`),
    hints: hints.map((hint) => `${hint.definition.code}: ${hint.message}`),
  };
}

/**
 * A running gateway over the BFF and the neighbour.
 *
 * `pinned` are the claims that the neighbour names. `fetches` collects what the gateway asks of each subgraph.
 * `run` executes an operation as the seller whose headers are given.
 */
export async function startGateway({ pinned = () => [] } = {}) {
  const fetches = [];
  const neighbourSchema = buildSubgraphSchema({
    typeDefs: parse(NEIGHBOUR),
    resolvers: {
      Claim: {
        __resolveReference: ({ id }) => ({ id }),
        notes: ({ id }) => [{ id: `note-on-${id}`, text: "Call back.", claim: { id } }],
      },
      Node: { __resolveType: () => "Note" },
      Query: { node: (_, { id }) => ({ id, text: "Found." }), pinnedClaims: () => pinned() },
    },
  });

  class Noting extends RemoteGraphQLDataSource {
    willSendRequest({ request, context }) {
      for (const [name, value] of Object.entries(context.headers ?? {})) request.http.headers.set(name, value);
      fetches.push({ subgraph: "opside", ...request });
    }
  }
  class NotingLocal extends LocalGraphQLDataSource {
    process(options) {
      fetches.push({ subgraph: "neighbour", ...options.request });
      return super.process(options);
    }
  }

  const { supergraphSdl, errors } = compose({ opside: await subgraphSchema(), neighbour: NEIGHBOUR });
  assert.deepEqual(errors, []);
  const gateway = new ApolloGateway({
    supergraphSdl,
    logger: { debug() {}, info() {}, warn: console.warn, error: console.error },
    buildService: ({ name }) =>
      name === "opside" ? new Noting({ url: GRAPHQL }) : new NotingLocal(neighbourSchema),
  });
  const { schema } = await gateway.load();

  let queries = 0;
  const run = async (query, { headers, variables = {} }) => {
    const document = parse(query);
    const operation = document.definitions.find(({ kind }) => kind === "OperationDefinition");
    return gateway.executor({
      schema,
      document,
      operation,
      operationName: operation.name?.value ?? null,
      source: query,
      queryHash: `${ADDRESS} ${(queries += 1)}`,
      request: { query, variables },
      context: { headers },
      metrics: {},
      logger: console,
      cache: undefined,
      overallCachePolicy: { policyIfCacheable: () => null, restrict() {} },
    });
  };
  return { run, fetches, schema, stop: () => gateway.stop() };
}
