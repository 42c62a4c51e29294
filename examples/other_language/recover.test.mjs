// node --test: the vectors of the specification, and the tables that every version has to recover.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { canonical, parse } from "./json.mjs";
import { Refused, check, recover } from "./recover.mjs";

const TESTS = new URL("../../tests/", import.meta.url);
const read = (path) => parse(readFileSync(new URL(path, TESTS), "utf8"));
const keysOf = (written) =>
  Object.fromEntries(Object.entries(written).map(([version, key]) => [version, Buffer.from(key, "hex")]));
const columnsOf = ({ columns, data }) =>
  Object.fromEntries(columns.map((name, at) => [name, data.map((row) => row[at])]));
const texts = (values) => values.map((value) => value === null ? null : String(value).normalize());

for (const file of ["manifest_3", "manifest_3_unread"]) {
  const { keys, tables } = read(`vectors/${file}.json`);
  for (const { name, manifest, table, result } of tables) {
    test(`the vectors, ${name}`, () => {
      const made = recover(manifest, keysOf(keys), table);
      for (const [column, { strategy }] of Object.entries(manifest.columns)) {
        if (strategy !== "hash") assert.deepEqual(texts(made[column]), texts(result[column]), column);
      }
    });
  }
}

for (const name of ["formats", "fpe", "permute", "strategies", "versions"]) {
  test(`the table of golden/manifest_3_${name}.json`, () => {
    const { keys, manifest, before, after } = read(`golden/manifest_3_${name}.json`);
    const masters = keysOf(Object.fromEntries(keys.map((key, at) => [at + 1, key])));
    const made = recover(manifest, masters, columnsOf(after));
    for (const [column, values] of Object.entries(columnsOf(before))) {
      assert.deepEqual(texts(made[column]), texts(values), column);
    }
  });
}

const { keys, tables } = read("vectors/manifest_3.json");

test("a changed manifest is refused", () => {
  const manifest = structuredClone(tables[0].manifest);
  manifest.columns.ssn.domain += " ";
  assert.throws(() => check(manifest, keysOf(keys)), Refused);
});

test("another key is refused", () => {
  assert.throws(() => check(tables[0].manifest, { 1: Buffer.alloc(32) }), Refused);
});

test("a changed token is refused", () => {
  const { manifest, table } = structuredClone(tables[0]);
  table.email[0] = table.email[0].replace(/^e_./, (start) => (start === "e_a" ? "e_b" : "e_a"));
  assert.throws(() => recover(manifest, keysOf(keys), table), Refused);
});

test("whole numbers beyond a double, and every character, have one text", () => {
  const written = '{"\\ud83d\\ude00":170141183460469231731687303715884105727,"\\ufb33":["\\u007f\\n\\u001f"]}';
  const ordered = '{"\\ufb33":["\\u007f\\n\\u001f"],"\\ud83d\\ude00":170141183460469231731687303715884105727}';
  assert.equal(canonical(parse(written)), ordered);
  assert.throws(() => parse('{"a":1,"a":2}'), SyntaxError);
  assert.throws(() => parse('"\\ud83d"'), SyntaxError);
});
