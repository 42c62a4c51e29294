// The formats of the strategy `fpe`: each returns what a pseudonym was made of.

import { readFileSync } from "node:fs";
import { base32, integer, octets, u32, u64, unpermute } from "./ciphers.mjs";

const TABLE = new URL("../../secureml/pseudonymization/tables/character_classes.txt", import.meta.url);
const SYMBOL = 0x110000;

export const bound = (value, tweak) =>
  Buffer.concat([octets("row/1"), u64(value.length), value, tweak]);

let shipped; // the classes of `class/1`

function classes() {
  if (shipped) return shipped;
  const lines = readFileSync(TABLE, "utf8").split("\n").filter((line) => line && line[0] !== "#");
  return (shipped = alphabets(lines.map((line) => line.split(":")[1].trim().split(" ").flatMap(span))));
}

function span(written) {
  const [ends, step] = written.split("/");
  const [first, last] = ends.split("-").map((code) => parseInt(code, 16));
  const members = [];
  for (let code = first; code <= (last ?? first); code += parseInt(step ?? "1", 16)) members.push(code);
  return members;
}

function alphabets(members) {
  const of = new Map();
  members.forEach((codes, kind) => codes.forEach((code, place) => of.set(code, [kind, place])));
  return { members, of };
}

// Ranks the characters of a text in their classes; a character of no class is kept.
function characters(keys, text, { label, table = classes(), bind, exists }) {
  const codes = Array.from(text, (character) => character.codePointAt(0));
  const found = codes.map((code) => table.of.get(code));
  const kinds = found.filter(Boolean).map(([kind]) => kind);
  const sizes = kinds.map((kind) => BigInt(table.members[kind].length));
  let rank = 0n;
  found.filter(Boolean).forEach(([, place], at) => (rank = rank * sizes[at] + BigInt(place)));
  const symbols = codes.map((code, at) => u32(found[at] ? SYMBOL + found[at][0] : code));
  const write = (rank) => {
    const made = [...codes];
    for (let at = codes.length - 1, one = sizes.length - 1; at >= 0; at--) {
      if (!found[at]) continue;
      made[at] = table.members[found[at][0]][Number(rank % sizes[one])];
      rank /= sizes[one--];
    }
    return String.fromCodePoint(...made);
  };
  const domain = {
    size: sizes.reduce((product, size) => product * size, 1n),
    tweak: bind(Buffer.concat([octets(label), ...symbols])),
    numerals: new Set(kinds).size === 1 ? [Number(sizes[0]), sizes.length] : undefined,
    exists: exists && ((rank) => exists(write(rank))),
  };
  return write(unpermute(keys, domain, rank));
}

const ofClasses = (label) => (keys, text, { bind }) => characters(keys, text, { label, bind });

function alphabet(keys, text, { options, bind }) {
  const members = Array.from(options.characters, (character) => character.codePointAt(0));
  const label = `alphabet/1 ${members.length} ${options.characters}`;
  return characters(keys, text, { label, table: alphabets([members]), bind });
}

function ssn(keys, text, { bind }) {
  const separator = text.length === 9 ? "" : text[3];
  const at = 3 + separator.length;
  const [area, group, serial] = [text.slice(0, 3), text.slice(at, at + 2), text.slice(-4)].map(BigInt);
  let rank = ((area - (area > 666n ? 2n : 1n)) * 99n + group - 1n) * 9999n + serial - 1n;
  const tweak = bind(octets(`ssn/1 ${separator}`));
  rank = unpermute(keys, { size: 898n * 99n * 9999n, tweak }, rank);
  const parts = [rank / 9999n / 99n, (rank / 9999n) % 99n, rank % 9999n].map((part) => part + 1n);
  if (parts[0] >= 666n) parts[0] += 1n;
  return parts.map((part, one) => String(part).padStart([3, 2, 4][one], "0")).join(separator);
}

function creditCard(keys, text, { options, bind }) {
  const [first, last] = [Number(options.keep_first), Number(options.keep_last)];
  const digits = text.replace(/\D/g, "");
  const check = Math.max(digits.length - last - 1, first);
  const count = check - first;
  let kept = first || last ? digits.slice(0, first) + digits.slice(check + 1) + " " : "";
  kept = octets(kept + text.replace(/\d/g, "0"));
  const template = Buffer.concat([octets("credit_card/1"), ...Array(count).fill(u32(SYMBOL))]);
  const domain = { size: 10n ** BigInt(count), numerals: [10, count] };
  domain.tweak = bind(bound(kept, template));
  const rank = unpermute(keys, domain, BigInt(digits.slice(first, check)));
  const middle = String(rank).padStart(count, "0");
  const made = [..."0123456789"]
    .map((digit) => digits.slice(0, first) + middle + digit + digits.slice(check + 1))
    .find((number) => luhn(number) === 0);
  let at = 0;
  return text.replace(/\d/g, () => made[at++]);
}

function luhn(number) {
  const values = [...number].reverse().map((digit, place) => Number(digit) * (1 + (place % 2)));
  return values.reduce((sum, value) => sum + Math.floor(value / 10) + (value % 10), 0) % 10;
}

// Of a number that is a whole one of its last digit.
function ranked(keys, text, { label, limits, range, bind }) {
  let magnitude = BigInt(text.replace("-", ""));
  if (range) {
    const [low, high] = range;
    const domain = { size: high - low + 1n, tweak: bind(octets(`${label} ${low} to ${high}`)) };
    return low + unpermute(keys, domain, BigInt(text) - low);
  }
  const sign = text.startsWith("-") ? "-" : "+";
  const count = BigInt(String(magnitude).length);
  const first = count > 1n || sign === "-" ? 10n ** (count - 1n) : 0n;
  const limit = sign === "-" ? -limits[0] : limits[1];
  const last = limit < 10n ** count ? limit : 10n ** count - 1n;
  const tweak = bind(octets(`${label} ${sign} ${first} ${last}`));
  magnitude = first + unpermute(keys, { size: last - first + 1n, tweak }, magnitude - first);
  return sign === "-" ? -magnitude : magnitude;
}

function integerFormat(keys, text, { options, arrow, bind }) {
  const [, unsigned, width] = /^(u?)int(\d+)$/.exec(arrow ?? "") ?? [null, "", "64"];
  const half = 1n << (BigInt(width) - 1n);
  const limits = unsigned ? [0n, 2n * half - 1n] : [-half, half - 1n];
  const range = options.minimum == null ? null : [options.minimum, options.maximum];
  return ranked(keys, text, { label: "integer/1", limits, range, bind }).toString();
}

function decimal(keys, text, { options, bind }) {
  const scale = text.split(".")[1]?.length ?? 0;
  const limits = [-(1n << 63n), (1n << 63n) - 1n];
  const { minimum, maximum } = options;
  const range = minimum == null ? null : [scaled(minimum, scale, 1n), scaled(maximum, scale, -1n)];
  const units = text.replace(".", "");
  const made = String(ranked(keys, units, { label: `decimal/1 ${scale}`, limits, range, bind }));
  if (!scale) return made;
  const digits = made.replace("-", "").padStart(scale + 1, "0");
  const sign = made.startsWith("-") ? "-" : "";
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

// An end of a range without its point, rounded into the range.
function scaled(end, scale, inward) {
  const [whole, fraction = ""] = end.split(".");
  const made = BigInt(whole + fraction.padEnd(scale, "0").slice(0, scale));
  const more = /[1-9]/.test(fraction.slice(scale));
  return more && end.startsWith("-") !== inward > 0n ? made + inward : made;
}

const DAY = 86_400_000;
const day = (text) => Date.parse(text) / DAY;

function date(keys, text, { options, bind }) {
  if (options.written != null || text.length !== 10) throw new Error("only dates of ISO 8601 are read");
  const first = day(options.start);
  const size = BigInt(day(options.end) - first + 1);
  const tweak = bind(octets(`date/1 ${options.start} ${options.end}`));
  const rank = unpermute(keys, { size, tweak }, BigInt(day(text) - first));
  return new Date((first + Number(rank)) * DAY).toISOString().slice(0, 10);
}

const MOMENT = /^(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d)(:\d\d)?(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?$/;
const seconds = (moment) => Date.parse(moment + "Z") / 1000;

function datetime(keys, text, { options, bind }) {
  if (options.written != null) throw new Error("only moments of ISO 8601 are read");
  const [, day, between, clock, behind, fraction = "", offset = ""] = MOMENT.exec(text);
  const [step, finer] = [behind ? 1 : 60, 10n ** BigInt(fraction.length)];
  const first = Math.ceil(seconds(options.start) / step);
  const last = Math.floor(seconds(options.end) / step);
  const steps = seconds(`${day}T${clock}${behind ?? ":00"}`) / step - first;
  const label = `datetime/1 ${options.start} ${options.end} ${step}s/10^${fraction.length} `;
  const tweak = bind(octets(label + (offset === "+00:00" ? "Z" : offset)));
  const domain = { size: BigInt(last - first + 1) * finer, tweak };
  const rank = unpermute(keys, domain, BigInt(steps) * finer + BigInt(fraction || 0));
  const made = new Date((first + Number(rank / finer)) * step * 1000).toISOString();
  const digits = fraction && "." + String(rank % finer).padStart(fraction.length, "0");
  return made.slice(0, 10) + between + made.slice(11, behind ? 19 : 16) + digits + offset;
}

function uuid(keys, text, { bind }) {
  const value = BigInt("0x" + text.replaceAll("-", ""));
  const [version, variant] = [(value >> 76n) & 15n, (value >> 62n) & 3n];
  const low = (1n << 62n) - 1n;
  const rank = ((value >> 80n) << 74n) | (((value >> 64n) & 0xfffn) << 62n) | (value & low);
  const write = (rank) => {
    const kept = (version << 76n) | (variant << 62n);
    const free = ((rank >> 74n) << 80n) | (((rank >> 62n) & 0xfffn) << 64n) | (rank & low);
    return (kept | free).toString(16).padStart(32, "0");
  };
  const upper = /[A-Z]/.test(text);
  const domain = { size: 1n << 122n, numerals: [2, 122] };
  domain.tweak = bind(Buffer.concat([octets("uuid/1"), Buffer.from([Number(version * 4n + variant)])]));
  if (upper) domain.exists = (rank) => /[a-f]/.test(write(rank));
  const digits = write(unpermute(keys, domain, rank));
  const made = [0, 8, 12, 16, 20].map((at, one, all) => digits.slice(at, all[one + 1]));
  const written = made.join(text.length === 36 ? "-" : "");
  return upper ? written.toUpperCase() : written;
}

// Of an address, given as a number of so many bits.
function address(keys, name, bits, value, { options, bind }) {
  const free = bits - options.keep_prefix;
  const prefix = (value >> free) << free;
  const label = Buffer.concat([octets(name), Buffer.from([Number(options.keep_prefix)])]);
  const domain = { size: 1n << free, numerals: [2, Number(free)] };
  domain.tweak = bind(Buffer.concat([label, integer(prefix, 16)]));
  return prefix | unpermute(keys, domain, value - prefix);
}

function ipv4(keys, text, entry) {
  const value = text.split(".").reduce((total, part) => (total << 8n) | BigInt(part), 0n);
  const made = address(keys, "ipv4/1", 32n, value, entry);
  return [24n, 16n, 8n, 0n].map((shift) => (made >> shift) & 255n).join(".");
}

function ipv6(keys, text, entry) {
  const [before, behind] = text.split("::").map((part) => part.split(":").filter(Boolean));
  const missing = behind ? 8 - before.length - behind.length : 0;
  const groups = [...before, ...Array(missing).fill("0"), ...(behind ?? [])];
  const value = groups.reduce((total, group) => (total << 16n) | BigInt("0x" + group), 0n);
  const digits = address(keys, "ipv6/1", 128n, value, entry).toString(16).padStart(32, "0");
  const made = digits.match(/.{4}/g).map((group) => parseInt(group, 16).toString(16)).join(":");
  const runs = [...made.matchAll(/\b0(:0)+\b/g)].sort((one, other) => other[0].length - one[0].length);
  if (!runs.length) return made;
  const [{ index, 0: longest }] = runs;
  const [left, right] = [made.slice(0, index), made.slice(index + longest.length)];
  return `${left.replace(/:$/, "")}::${right.replace(/^:/, "")}`;
}

const weighted = (digits, weights) =>
  [...digits].reduce((sum, digit, place) => sum + Number(digit) * weights[place], 0);
const spanish = (digits, first) => {
  const check = weighted(digits, [...digits].map((_, place) => 2 ** (first + place))) % 11;
  return check < 2 ? check : 11 - check;
};
const norwegian = (digits) => weighted(digits, [6, 7, 8, 9, 4, 5, 6, 7, 8, 9]) % 11;
const two = (number) => String(number).padStart(2, "0");

// What follows from the other characters, behind the first four: where it is, and what.
const NATIONAL = {
  BE: { at: [10, 11], bank: 3, check: (free) => two(Number(BigInt(free) % 97n) || 97) },
  ES: { at: [8, 9], check: (free) => `${spanish(free.slice(0, 8), 2)}${spanish(free.slice(8), 0)}` },
  ME: { at: [16, 17], check: (free) => two(98 - Number((BigInt(free) * 100n) % 97n)) },
  NO: { at: [10], check: (free) => String(norwegian(free)) },
};
const DIGITS_AND_LETTERS = alphabets([[...Array(10).keys()].map((n) => n + 48), span("41-5A")]);

function iban(keys, text, { bind }) {
  const plain = text.replace(/[ .-]/g, "");
  const country = plain.slice(0, 2);
  const { at = [], bank: kept = 0, check = () => "" } = NATIONAL[country] ?? {};
  const bank = plain.slice(4, 4 + kept);
  const free = [...plain.slice(4)].filter((_, place) => place >= kept && !at.includes(place)).join("");
  const layout = text.replace(/\d/g, "0").replace(/[A-Z]/g, "A");
  const made = characters(keys, free, {
    label: "iban/1",
    table: DIGITS_AND_LETTERS,
    bind: (tweak) => bind(bound(octets(`${country} ${layout} ${bank}`), tweak)),
    exists: country === "NO" ? (one) => norwegian(one) < 10 && one.slice(0, 4) !== "0000" : undefined,
  });
  let account = [...bank + made];
  account.splice(at[0] ?? 0, 0, ...check(bank + made));
  account = account.join("");
  const number = (account + country + "00").replace(/[A-Z]/g, (letter) => letter.charCodeAt(0) - 55);
  let next = 0;
  const all = country + two(98 - Number(BigInt(number) % 97n)) + account;
  return text.replace(/[0-9A-Z]/g, () => all[next++]);
}

function email(keys, text, { options, bind }) {
  const [, ...parts] = /^(.*)@(.*)\.(.*)$/.exec(text);
  const chosen = [options.local, options.host, "keep"];
  const made = parts.map((part, one) => {
    if (chosen[one] !== "pseudonym") return part;
    const sealed = base32(part.slice(1));
    const label = one === 0 ? "local" : `host ${parts[2]}`;
    const tweak = bind(octets(`email/1 ${sealed.length} ${label}`));
    const domain = { size: 1n << BigInt(8 * sealed.length), tweak };
    const opened = integer(unpermute(keys, domain, BigInt("0x" + sealed.toString("hex"))), sealed.length);
    return opened.subarray(0, opened.lastIndexOf(0x80)).toString("utf8");
  });
  if (!chosen.includes("encrypt")) return `${made[0]}@${made[1]}.${made[2]}`;
  const shown = parts.map((part, one) => (chosen[one] === "pseudonym" ? "" : part));
  const hidden = (one) => chosen[one] === "encrypt";
  const symbols = (part, one) =>
    Array.from(part, (character) => u32(hidden(one) ? SYMBOL : character.codePointAt(0)));
  const at = (character) => [u32(character.codePointAt(0))];
  const [local, host, top] = shown.map(symbols);
  const kept = Buffer.concat([...local, ...at("@"), ...host, ...at("."), ...top]);
  const plain = characters(keys, shown.filter((_, one) => hidden(one)).join(""), {
    label: `email/1 ${options.local} ${options.host} `,
    bind: (tweak) => bind(bound(kept, tweak)),
  });
  const count = hidden(0) ? local.length : 0;
  const opened = Array.from(plain);
  if (hidden(0)) made[0] = opened.slice(0, count).join("");
  if (hidden(1)) made[1] = opened.slice(count).join("");
  return `${made[0]}@${made[1]}.${made[2]}`;
}

export const FORMATS = {
  "class/1": ofClasses("class/1"),
  "digits/1": ofClasses("digits/1"),
  "letters/1": ofClasses("letters/1"),
  "alphabet/1": alphabet,
  "ssn/1": ssn,
  "credit_card/1": creditCard,
  "integer/1": integerFormat,
  "decimal/1": decimal,
  "date/1": date,
  "datetime/1": datetime,
  "uuid/1": uuid,
  "ipv4/1": ipv4,
  "ipv6/1": ipv6,
  "iban/1": iban,
  "email/1": email,
};
