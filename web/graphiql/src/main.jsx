// GraphiQL for the Opside graph, served by the BFF itself: everything it loads comes from this bundle.
import "graphiql/setup-workers/vite";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { createGraphiQLFetcher, createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { tabs } from "./operations.js";

import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

const config = JSON.parse(document.getElementById("opside-config").textContent);
const url = new URL(config.endpoint ?? "/graphql", location.href).href;
const headers = { Authorization: config.token ? `Bearer ${config.token}` : "" };

const fetcher = createGraphiQLFetcher({
  url,
  // The schema is asked for before the Headers tab exists, so the token must come from here.
  schemaFetcher: createGraphiQLFetcher({ url, headers: config.token ? headers : {} }),
  // Opened by the first subscription; the Headers tab becomes the connection_init payload.
  subscriptionUrl: url.replace(/^http/, "ws"),
  enableIncrementalDelivery: false, // the graph has neither @defer nor @stream
});

// Made once: a new array on each render would close the open panel.
const plugins = [explorerPlugin({ showAttribution: false })];

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={tabs}
    defaultHeaders={JSON.stringify(headers, null, 2)}
    defaultEditorToolsVisibility="variables"
    // The dev token changes with each start: headers are never stored, so an old one cannot win. No history
    // plugin for the same reason: it keeps headers in localStorage and would put them back.
    shouldPersistHeaders={false}
    plugins={plugins}
    // Another project's GraphiQL on the same localhost port must not lend us its tabs or headers.
    storage={createLocalStorage({ namespace: "opside" })}
  >
    <GraphiQL.Logo>Opside graph</GraphiQL.Logo>
  </GraphiQL>,
);
