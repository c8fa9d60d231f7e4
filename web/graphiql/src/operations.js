// The tabs a new visitor finds: stored operations, each with the fragments it needs.
import { parse, visit } from "graphql";

// The imports are spelled out because the bundle's hash covers exactly the files named here (vite.config.js).
import caseDetail from "../../../operations/CaseDetail.graphql?raw";
import dashboard from "../../../operations/Dashboard.graphql?raw";
import fragments from "../../../operations/fragments.graphql?raw";
import recoveriesList from "../../../operations/RecoveriesList.graphql?raw";
import systemStatus from "../../../operations/SystemStatus.graphql?raw";

/** One operation with its comment, then every fragment it reaches, as text the server can run alone. */
function selfContained(name, text) {
  const definitions = new Map();
  for (const source of [text, fragments]) {
    let previousEnd = 0;
    for (const node of parse(source).definitions) {
      const withComment = node.kind === "OperationDefinition";
      const printed = source.slice(withComment ? previousEnd : node.loc.start, node.loc.end).trim();
      definitions.set(node.name.value, { node, printed });
      previousEnd = node.loc.end;
    }
  }
  // A Set keeps the order of discovery and may grow while it is walked.
  const needed = new Set([name]);
  for (const wanted of needed) {
    visit(definitions.get(wanted).node, { FragmentSpread: (spread) => void needed.add(spread.name.value) });
  }
  return [...needed].map((wanted) => definitions.get(wanted).printed).join("\n\n") + "\n";
}

const CASE_DETAIL_VARIABLES = `{
  // Paste a claim's id here; RecoveriesList returns some.
  "id": ""
}`;

export const tabs = [
  { query: selfContained("Dashboard", dashboard) },
  { query: selfContained("RecoveriesList", recoveriesList) },
  { query: selfContained("CaseDetail", caseDetail), variables: CASE_DETAIL_VARIABLES },
  { query: selfContained("SystemStatus", systemStatus) },
];
