// Keys, FF1, AES-SIV and tables of small domains, on the AES and the HMAC of Node.js.

import { createCipheriv, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

export const octets = (text) => Buffer.from(text, "utf8");

export function integer(value, size) {
  const made = Buffer.from(BigInt(value).toString(16).padStart(2 * size, "0"), "hex");
  if (made.length !== size) throw new Error("a number does not fit its octets");
  return made;
}

export const u32 = (value) => integer(value, 4);
export const u64 = (value) => integer(value, 8);
const number = (bytes) => BigInt("0x" + (bytes.toString("hex") || "0"));
export const bits = (value) => (value === 0n ? 0 : value.toString(2).length);
export const hmac = (key, ...parts) =>
  createHmac("sha256", key).update(Buffer.concat(parts)).digest();

export function base32(text) {
  let [bits, count, made] = [0, 0, []];
  for (const character of text) {
    bits = (bits << 5) | "abcdefghijklmnopqrstuvwxyz234567".indexOf(character);
    count += 5;
    if (count >= 8) made.push((bits >> (count -= 8)) & 255);
    bits &= (1 << count) - 1;
  }
  return Buffer.from(made);
}

export function derive(master, purpose, size) {
  const name = octets("pseudonymization/" + purpose);
  const info = Buffer.concat([octets("secureml/derive/v1"), u32(name.length), name, u32(size)]);
  return Buffer.from(hkdfSync("sha256", master, "", info, size));
}

export function aes(key) {
  const cipher = createCipheriv(`aes-${8 * key.length}-ecb`, key, null).setAutoPadding(false);
  return (blocks) => cipher.update(blocks);
}

function xor(left, right) {
  return Buffer.from(left.map((octet, place) => octet ^ right[place]));
}

// SP 800-38G, algorithm 8, on a numeral string that is given as the number it writes.
function ff1Decrypt(encrypt, radix, n, tweak, rank) {
  const [u, r] = [n >> 1, BigInt(radix)];
  const v = n - u;
  const moduli = [r ** BigInt(u), r ** BigInt(v)];
  const b = Math.ceil(bits(moduli[1] - 1n) / 8);
  const d = 4 * Math.ceil(b / 4) + 4;
  const head = Buffer.concat([
    Buffer.from([1, 2, 1]), integer(radix, 3), Buffer.from([10, u % 256]), u32(n), u32(tweak.length),
  ]);
  const padding = Buffer.alloc((((-tweak.length - b - 1) % 16) + 16) % 16);
  let [left, right] = [rank / moduli[1], rank % moduli[1]];
  for (let i = 9; i >= 0; i--) {
    const text = Buffer.concat([head, tweak, padding, Buffer.from([i]), integer(left, b)]);
    let block = Buffer.alloc(16);
    for (let at = 0; at < text.length; at += 16) {
      block = encrypt(xor(block, text.subarray(at, at + 16)));
    }
    const stream = [block];
    for (let j = 1; 16 * j < d; j++) stream.push(encrypt(xor(block, integer(j, 16))));
    const modulus = moduli[i % 2];
    const y = number(Buffer.concat(stream).subarray(0, d));
    [left, right] = [(((right - y) % modulus) + modulus) % modulus, left];
  }
  return left * moduli[1] + right;
}

function numeralsFor(size) {
  const width = bits(size - 1n);
  if (width > 112) return [2, width];
  const n = 2 * Math.ceil(width / 32);
  let [low, high] = [2, 65536];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (BigInt(middle) ** BigInt(n) >= size) high = middle;
    else low = middle + 1;
  }
  return [low, n];
}

// Decrypts ranks of a domain of `size` members; `exists` tells which of them are values at all.
export function unpermute(keys, { size, tweak, numerals, exists = () => true }, rank) {
  if (size < 1_000_000n) {
    do rank = unpermuteTable(keys.table, size, tweak, rank);
    while (!exists(rank));
    return rank;
  }
  const [radix, n] = numerals ?? numeralsFor(size);
  do rank = ff1Decrypt(keys.fpe, radix, n, tweak, rank);
  while (rank >= size || !exists(rank));
  return rank;
}

let tabled = { name: "" }; // the table of the last domain

// The rank is the number of members whose blocks are less than that of the pseudonym.
function unpermuteTable(key, size, tweak, rank) {
  if (key === null) throw new Error("a domain is too small to be permuted");
  const subkey = hmac(key, octets("secureml/table/1"), u64(size), tweak);
  const name = subkey.toString("hex");
  if (tabled.name !== name) {
    const members = Buffer.alloc(16 * Number(size));
    for (let one = 0; one < size; one++) members.writeUInt32BE(one, 16 * one + 12);
    const blocks = aes(subkey)(members);
    const words = new BigUint64Array(blocks.buffer, blocks.byteOffset, 2 * Number(size));
    blocks.swap64();
    tabled = { name, words, sorted: words.filter((_, at) => at % 2 === 0).sort() };
  }
  const { words, sorted } = tabled;
  const [high, low] = words.subarray(2 * Number(rank));
  let [first, end] = [0, sorted.length];
  while (first < end) {
    const middle = (first + end) >> 1;
    if (sorted[middle] < high) first = middle + 1;
    else end = middle;
  }
  if (sorted[first + 1] !== high) return BigInt(first);
  const alike = words.filter((word, at) => at % 2 === 1 && words[at - 1] === high && word < low);
  return BigInt(first + alike.length);
}

function doubled(block) {
  const value = number(block) << 1n;
  return integer((value & ((1n << 128n) - 1n)) ^ (value >> 128n ? 0x87n : 0n), 16);
}

function cmac(encrypt, text) {
  const whole = text.length > 0 && text.length % 16 === 0;
  let subkey = doubled(encrypt(Buffer.alloc(16)));
  if (!whole) subkey = doubled(subkey);
  const missing = whole ? 0 : 16 - (text.length % 16);
  const padded = whole ? text : Buffer.concat([text, Buffer.from([0x80]), Buffer.alloc(missing - 1)]);
  let block = Buffer.alloc(16);
  for (let at = 0; at < padded.length; at += 16) {
    const last = at + 16 === padded.length;
    const piece = padded.subarray(at, at + 16);
    block = encrypt(xor(block, last ? xor(piece, subkey) : piece));
  }
  return block;
}

// RFC 5297 with one associated data; null if the token was not made under this key and context.
export function sivOpen(key, context, sealed) {
  const encrypt = aes(key.subarray(0, 32));
  const iv = sealed.subarray(0, 16);
  const counter = Buffer.from(iv);
  counter[8] &= 0x7f;
  counter[12] &= 0x7f;
  const plain = createCipheriv("aes-256-ctr", key.subarray(32), counter).update(sealed.subarray(16));
  const mixed = xor(doubled(cmac(encrypt, Buffer.alloc(16))), cmac(encrypt, context));
  let last;
  if (plain.length >= 16) {
    const start = plain.length - 16;
    last = Buffer.concat([plain.subarray(0, start), xor(plain.subarray(start), mixed)]);
  } else {
    const padding = Buffer.alloc(16 - plain.length);
    padding[0] = 0x80;
    last = xor(doubled(mixed), Buffer.concat([plain, padding]));
  }
  return sealed.length >= 16 && timingSafeEqual(cmac(encrypt, last), iv) ? plain : null;
}
