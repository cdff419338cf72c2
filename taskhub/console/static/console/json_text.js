// JSON while it is typed, whole or not: its tokens, where the cursor is in the value, and what a JSON Schema has there.
"use strict";

const jsonText = (() => {
const TOKEN = /"(?:[^"\\\n]|\\.)*"?|\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)|[{}[\],:]|[^\s{}[\],:"/]+|\//g;
const SKELETONS = { object: "{}", array: "[]", string: '""', boolean: "true" };

// Text

function kindOf(word) {
  if (word[0] === '"') return "text";
  if (word[0] === "/" && word.length > 1) return "comment";
  if ("{}[],:".includes(word)) return "sign";
  if (/^(true|false|null)$/.test(word)) return "constant";
  return /^-?\d/.test(word) ? "number" : "other";
}

function tokensOf(text) {
  const tokens = [];
  let last = null; // the last that is no comment
  for (const { 0: word, index } of text.matchAll(TOKEN)) {
    const token = { word, at: index, end: index + word.length, kind: kindOf(word) };
    if (word === ":" && last?.kind === "text") last.kind = "key";
    if (token.kind !== "comment") last = token;
    tokens.push(token);
  }
  return tokens;
}

const escaped = (text) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);

function coloured(text, tokens) {
  let html = "";
  let end = 0;
  for (const token of tokens) {
    html += text.slice(end, token.at);
    const word = escaped(token.word);
    const inner = token.kind === "text" ? word.replace(/\{\{.*?\}\}/g, '<span class="json-expression">$&</span>') : word;
    html += token.kind === "sign" || token.kind === "other" ? inner : `<span class="json-${token.kind}">${inner}</span>`;
    end = token.end;
  }
  return `${html}${text.slice(end)}\n`;
}

// The brackets that belong to each other where one stands beside the cursor.
function bracketsAt(tokens, cursor) {
  const open = [];
  for (const token of tokens) {
    if (token.word === "{" || token.word === "[") open.push(token);
    if (token.word !== "}" && token.word !== "]") continue;
    const opening = open.pop();
    if (opening && [opening.at, opening.end, token.at, token.end].includes(cursor)) return [opening, token];
  }
  return [];
}

// Where the cursor is in the value: `path` leads to the object, list or member there; `keys` are those of the object, null
// where no key is due; `word` is what the cursor is in.
function contextAt(tokens, cursor) {
  const open = [];
  let here = null;
  for (const token of tokens) {
    if (token.kind === "comment") continue;
    if (!here && cursor <= (token.kind === "sign" ? token.at : token.end)) {
      here = snapshot(open, token.at <= cursor && token.kind !== "sign" ? token : null);
    }
    const holder = open.at(-1);
    if (token.word === "{") open.push({ keys: [], key: null, isKeyDue: true });
    else if (token.word === "[") open.push({ keys: null, key: 0 });
    else if (token.word === "}" || token.word === "]") open.pop();
    else if (token.word === ",") advance(holder);
    else if (holder?.isKeyDue && token.word !== ":") { holder.key = unquoted(token.word); holder.keys.push(holder.key); holder.isKeyDue = false; }
  }
  return here ?? snapshot(open, null);
}

function advance(holder) {
  if (holder?.keys) { holder.isKeyDue = true; holder.key = null; } else if (holder) holder.key += 1;
}

function snapshot(open, word) {
  const holder = open.at(-1);
  const isKeyDue = Boolean(holder?.isKeyDue);
  const path = open.map((one) => one.key);
  return { path: isKeyDue ? path.slice(0, -1) : path, keys: isKeyDue ? holder.keys : null, word };
}

function unquoted(word) {
  try { return String(JSON.parse(word)); } catch { return word.replace(/^"|"$/g, ""); }
}

// The schema

// Of several alternatives none requires anything, for another one may be meant. Null is none.
function alternativesOf(schemas) {
  const others = schemas.filter((schema) => schema?.type !== "null");
  return others.length > 1 ? others.map((schema) => ({ ...schema, required: [] })) : others;
}

// A schema with what it refers to, and all of its alternatives.
function expanded(schema, root, seen = new Set()) {
  if (!schema || typeof schema !== "object" || seen.has(schema)) return [];
  seen.add(schema);
  const referred = schema.$ref?.startsWith("#") ? schema.$ref.slice(2).split("/").reduce((value, key) => value?.[key.replace(/~1/g, "/").replace(/~0/g, "~")], root) : null;
  const alternatives = ["anyOf", "oneOf"].flatMap((word) => alternativesOf(schema[word] ?? []));
  const inner = [referred, ...alternatives, ...(schema.allOf ?? []), schema.then, schema.else];
  return [schema, ...inner.flatMap((one) => expanded(one, root, seen))];
}

function membersOf(schemas, key) {
  return schemas.flatMap((schema) => {
    if (typeof key === "number") return [schema.prefixItems?.[key] ?? schema.items];
    if (schema.properties && Object.hasOwn(schema.properties, key)) return [schema.properties[key]];
    const patterns = Object.entries(schema.patternProperties ?? {}).filter(([pattern]) => new RegExp(pattern, "u").test(key));
    return patterns.length ? patterns.map(([, inner]) => inner) : [schema.additionalProperties];
  });
}

function schemasAt(root, path) {
  return path.reduce((schemas, key) => membersOf(schemas, key).flatMap((one) => expanded(one, root)), expanded(root, root));
}

const typesOf = (schemas) => [...new Set(schemas.flatMap((schema) => schema.type ?? []))].filter((type) => type !== "null");
const meaningOf = (schemas) => schemas.map((schema) => schema.description).find(Boolean) ?? "";

const meaningAt = (root, context) => meaningOf(schemasAt(root, context.path));

// What may stand at the cursor: `{word, label, note, meaning}` each.
function choicesAt(root, context) {
  const schemas = schemasAt(root, context.path);
  if (!context.keys) {
    const values = schemas.flatMap((schema) => schema.enum ?? ("const" in schema ? [schema.const] : []));
    return [...new Set(values)].map((value) => ({ word: JSON.stringify(value), label: JSON.stringify(value), note: "", meaning: "" }));
  }
  const present = new Set(context.keys);
  const own = context.word && unquoted(context.word.word);
  const typed = context.word?.kind === "key" ? "" : own; // of what is still typed the beginning counts
  present.delete(own);
  const required = new Set(schemas.flatMap((schema) => schema.required ?? []));
  const names = [...new Set(schemas.flatMap((schema) => Object.keys(schema.properties ?? {})))];
  const choices = names.filter((name) => !present.has(name)).map((name) => {
    const inner = membersOf(schemas.filter((schema) => schema.properties && name in schema.properties).slice(0, 1), name).flatMap((one) => expanded(one, root));
    const types = typesOf(inner);
    const note = [types.join(" or "), required.has(name) ? "required" : ""].filter(Boolean).join(", ");
    return { word: `${JSON.stringify(name)}: ${SKELETONS[types[0]] ?? ""}`, label: name, note, meaning: meaningOf(inner) };
  });
  return choices.filter((choice) => !typed || choice.label.startsWith(typed));
}

return { tokensOf, escaped, coloured, bracketsAt, contextAt, choicesAt, meaningAt };
})();
