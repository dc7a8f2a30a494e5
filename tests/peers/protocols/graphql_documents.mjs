// Reads GraphQL documents with graphql-js.
//
//     node graphql_documents.mjs FILE
//
// FILE is a JSON array of texts. Prints one JSON array: for each text null if it is no document that may be executed, or
// has names that are not clear; otherwise its operations with their cost, by plain recursion.
import { parse } from "graphql";
import { readFileSync } from "node:fs";

class Unclear extends Error {}

// The cost of a selection set within `level` fields. `open`: the fragments around it.
function cost(set, level, fragments, open) {
  const sum = { fields: 0, aliases: 0, roots: 0, depth: 0 };
  const add = (other) => {
    sum.fields += other.fields;
    sum.aliases += other.aliases;
    sum.roots += other.roots;
    sum.depth = Math.max(sum.depth, other.depth);
  };
  for (const one of set.selections) {
    if (one.kind === "Field") {
      add({ fields: 1, aliases: one.alias ? 1 : 0, roots: level === 0 ? 1 : 0, depth: level + 1 });
      if (one.selectionSet) add(cost(one.selectionSet, level + 1, fragments, open));
    } else if (one.kind === "InlineFragment") {
      add(cost(one.selectionSet, level, fragments, open));
    } else {
      const fragment = fragments.get(one.name.value);
      if (!fragment || open.includes(fragment)) throw new Unclear();
      add(cost(fragment.selectionSet, level, fragments, [...open, fragment]));
    }
  }
  return sum;
}

function read(text) {
  const { definitions } = parse(text);
  const fragments = new Map();
  const operations = new Map();
  for (const one of definitions) {
    const names = { FragmentDefinition: fragments, OperationDefinition: operations }[one.kind];
    const name = one.name?.value;
    if (!names || names.has(name)) throw new Unclear();
    names.set(name, one);
  }
  if (operations.size > 1 && operations.has(undefined)) throw new Unclear();
  for (const fragment of fragments.values()) cost(fragment.selectionSet, 0, fragments, [fragment]);
  return [...operations].map(([name, one]) => ({
    kind: one.operation,
    name: name ?? null,
    ...cost(one.selectionSet, 0, fragments, []),
  }));
}

const texts = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answers = texts.map((text) => {
  try {
    return read(text);
  } catch (error) {
    if (error instanceof Unclear || error.name === "GraphQLError") return null;
    throw error;
  }
});
console.log(JSON.stringify(answers));
