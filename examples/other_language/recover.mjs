// Recovers a CSV file that secureml pseudonymized, without secureml:
//
//     node recover.mjs hidden.csv keys.json > recovered.csv
//
// keys.json has the versions of the master key in hexadecimal digits: {"1": "0102..."}; "null" is
// the version of a key whose source has none.

import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { aes, base32, derive, hmac, octets, sivOpen } from "./ciphers.mjs";
import { FORMATS, bound } from "./formats.mjs";
import { canonical, parse } from "./json.mjs";

export class Refused extends Error {}

// Throws unless the manifest was made with these keys, and not changed since.
export function check(manifest, masters) {
  if (manifest.schema !== 3n) throw new Refused("only schema 3 is read");
  for (const { version, check, envelope } of manifest.versions) {
    if (!masters[version]) throw new Refused(`version ${version} of the key is missing`);
    if (envelope !== null) throw new Refused("keys that Vault wraps are not read");
    if (derive(masters[version], "key-check", 16).toString("hex") !== check) {
      throw new Refused(`version ${version} is another key`);
    }
  }
  const { mac, ...body } = manifest;
  const key = derive(masters[manifest.key.version], "manifest", 32);
  const expected = hmac(key, octets(canonical(body)));
  const given = Buffer.from(mac, "hex");
  if (given.length !== 32 || !timingSafeEqual(given, expected)) throw new Refused("it was changed");
}

// Returns the columns of a table, by name a list of values: text, numbers as BigInt, or null.
export function recover(manifest, masters, table) {
  check(manifest, masters);
  const made = { ...table };
  for (const [name, entry] of Object.entries(manifest.columns)) {
    if (!["fpe", "token"].includes(entry.strategy)) continue;
    const versions = entry.versions && table[`${name}__key_version`];
    const column = new Map(); // by version
    made[name] = table[name].map((value, row) => {
      if (value === null || value === "") return value;
      const version = versions ? String(versions[row]) : manifest.key.version;
      if (!column.has(version)) column.set(version, recoverer(masters[version], entry));
      return column.get(version)(String(value), entry.tweak && tweakOf(table[entry.tweak][row]));
    });
    if (versions) delete made[`${name}__key_version`];
  }
  return made;
}

const tweakOf = (value) => (value === null ? Buffer.from([0xff]) : octets(String(value)));

function recoverer(master, entry) {
  const prefix = entry.domain_prefix;
  const key = (kind, size) => {
    const domain = entry.domain;
    if (prefix === null) return derive(master, `${kind}/${domain}`, size);
    return derive(master, `prefixed/${kind}/${[...prefix].length}/${prefix}/${domain}`, size);
  };
  const token = { siv: key("siv", 64), outside: key("token", 64) };
  const table = entry.small_domain === "permute" ? key("table", 32) : null;
  const keys = { fpe: aes(key("fpe", 32)), table };
  const format = FORMATS[entry.format];
  const tokens = entry.small_domain === "token" || entry.on_invalid === "token";
  return (text, tweak) => {
    const bind = (inner) => (tweak ? bound(tweak, inner) : inner);
    if (entry.strategy === "token") {
      const { prefix, encoding } = entry.options;
      if (!text.startsWith(prefix)) throw new Refused("a token lacks its prefix");
      const context = bind(octets(`strategy/token/1/${entry.domain}`));
      return opened(token.siv, context, text.slice(prefix.length), encoding);
    }
    if (tokens && text.startsWith("~")) {
      return opened(token.outside, bind(octets(`token/1/${entry.domain}`)), text.slice(1), "base32");
    }
    if (!format) throw new Refused(`the format ${entry.format} is not read`);
    return format(keys, text, { ...entry, bind });
  };
}

function opened(key, context, token, encoding) {
  const sealed = encoding === "base64url" ? Buffer.from(token, "base64url") : base32(token);
  const plain = sivOpen(key, context, sealed);
  if (plain === null) throw new Refused("a token was not made with this key");
  return plain.toString("utf8");
}

// Rows of RFC 4180: their fields as they are written, and what ends the line.
function readCsv(text) {
  const rows = [];
  let fields = [];
  for (const [, written, end] of text.matchAll(/("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/g)) {
    fields.push(written);
    if (end === ",") continue;
    if (end || written || fields.length > 1) rows.push({ fields, end });
    fields = [];
  }
  return rows;
}

// Nothing between two commas is null, and "" is empty text.
const valueOf = (written) =>
  written === "" ? null : written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written;

const writtenOf = (value, before) =>
  before.startsWith('"') || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

export function recoverCsv(data, sidecar, masters) {
  const { manifest, data: of, dialect } = sidecar;
  if (dialect) throw new Refused("only UTF-8 with commas is read");
  if (createHash("sha256").update(data).digest("hex") !== of.sha256) {
    throw new Refused("the data were changed after the manifest was made");
  }
  const [header, ...body] = readCsv(data.toString("utf8"));
  const names = header.fields.map(valueOf);
  const table = Object.fromEntries(
    names.map((name, at) => [name, body.map(({ fields }) => valueOf(fields[at]))]),
  );
  const made = recover(manifest, masters, table);
  const stay = names.map((name, at) => at).filter((at) => names[at] in made);
  const written = body.map(({ fields, end }, row) =>
    stay.map((at) => {
      const value = made[names[at]][row];
      return value === valueOf(fields[at]) ? fields[at] : writtenOf(value, fields[at]);
    }).join(",") + end);
  return stay.map((at) => header.fields[at]).join(",") + header.end + written.join("");
}

function main(path, keys) {
  const sidecar = parse(readFileSync(`${path}.manifest.json`, "utf8"));
  const masters = Object.entries(JSON.parse(readFileSync(keys, "utf8")));
  const read = Object.fromEntries(masters.map(([version, key]) => [version, Buffer.from(key, "hex")]));
  process.stdout.write(recoverCsv(readFileSync(path), sidecar, read));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main(...process.argv.slice(2));
