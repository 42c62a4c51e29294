// JSON whose whole numbers are BigInt, because a double does not hold them all.

const TOKEN = /\s*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d+)(?![\d.eE])|(true|false|null))\s*/y;

export function parse(text) {
  const tokens = [];
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) throw new SyntaxError("it is not JSON of a manifest");
    const [, sign, string, number, word] = found;
    if (sign) tokens.push({ sign });
    else if (number) tokens.push({ value: BigInt(number) });
    else tokens.push({ value: JSON.parse(string ?? word) });
  }
  let next = 0;
  const take = (sign) => tokens[next]?.sign === sign && ++next;
  const expect = (sign) => {
    if (!take(sign)) throw new SyntaxError(`${sign} is missing`);
  };
  const items = (end, read) => {
    const made = [];
    if (take(end)) return made;
    do made.push(read());
    while (take(","));
    expect(end);
    return made;
  };
  const value = () => {
    if (take("[")) return items("]", value);
    if (!take("{")) {
      if (!tokens[next] || "sign" in tokens[next]) throw new SyntaxError("a value is missing");
      const { value } = tokens[next++];
      if (typeof value === "string" && !value.isWellFormed()) throw new SyntaxError("lone surrogate");
      return value;
    }
    const pairs = items("}", () => {
      const name = value();
      if (typeof name !== "string") throw new SyntaxError("a name is missing");
      expect(":");
      return [name, value()];
    });
    const made = Object.assign(Object.create(null), Object.fromEntries(pairs));
    if (Object.keys(made).length < pairs.length) throw new SyntaxError("a name is given twice");
    return made;
  };
  const made = value();
  if (next < tokens.length) throw new SyntaxError("something follows the value");
  return made;
}

const escaped = (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0");
const text = (value) => JSON.stringify(value).replace(/[\u007f-\uffff]/g, escaped);
// UTF-8 has the order of code points; UTF-16, as JavaScript sorts, has not.
const byCodePoint = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));

// The one text of a document, which the MAC is of.
export function canonical(value) {
  if (typeof value === "string") return text(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).sort(byCodePoint);
  return `{${names.map((name) => `${text(name)}:${canonical(value[name])}`).join(",")}}`;
}
