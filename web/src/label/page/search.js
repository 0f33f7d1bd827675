// The search among classes: whole names first, then whole words, then beginnings, then words in any order, then anywhere, then near misses.

const plain = (text) => text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
const words = (text) => plain(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);

export function index(classes) {
  return classes.map((c, i) => {
    const names = [c.name, ...c.synonyms];
    return { i, name: c.name, names: names.map(plain), words: names.map(words) };
  });
}

// The classes that match, best first.
export function find(entries, query) {
  const wanted = words(query);
  const whole = plain(query.trim());
  if (!wanted.length) return entries.slice().sort((a, b) => a.names[0].localeCompare(b.names[0])).map((e) => e.i);
  const scored = [];
  for (const e of entries) {
    let best = 99;
    e.names.forEach((name, k) => {
      const other = k > 0 ? 0.5 : 0; // A synonym counts a little less than the name.
      best = Math.min(best, rank(name, e.words[k], whole, wanted) + other);
    });
    if (best < 99) scored.push([best, e.names[0].length, e.names[0], e.i]);
  }
  scored.sort((a, b) => a[0] - b[0] || a[1] - b[1] || (a[2] < b[2] ? -1 : 1));
  return scored.map((s) => s[3]);
}

function rank(name, own, whole, wanted) {
  if (name === whole) return 0;
  if (own.includes(whole)) return 1;
  if (name.startsWith(whole)) return 2;
  if (wanted.every((w) => own.some((o) => o.startsWith(w)))) return 3;
  if (name.includes(whole)) return 4;
  if (wanted.every((w) => own.some((o) => o.startsWith(w) || near(w, o)))) return 5;
  return 99;
}

// One letter wrong, missing, doubled or swapped with its neighbour, against the beginning of the other word; of words of
// four letters or more.
function near(w, o) {
  if (w.length < 4 || Math.abs(w.length - o.length) > 1 && o.length < w.length) return false;
  for (const end of [w.length - 1, w.length, w.length + 1]) {
    if (end <= o.length && distanceIsOne(w, o.slice(0, end))) return true;
  }
  return false;
}

function distanceIsOne(a, b) {
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  const [x, y] = [a.slice(i), b.slice(i)];
  if (x.length === y.length) return x.slice(1) === y.slice(1) || (x[0] === y[1] && x[1] === y[0] && x.slice(2) === y.slice(2));
  return x.length > y.length ? x.slice(1) === y : x === y.slice(1);
}

// The name with what was found of it marked.
export function marked(name, query, make) {
  const found = words(query).map((w) => plain(name).search(new RegExp(`(?<![\\p{L}\\p{N}])${w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "u"))).map((at, k) => [at, words(query)[k].length]);
  const spans = found.filter(([at]) => at >= 0).sort((a, b) => a[0] - b[0]);
  if (!spans.length || plain(name).length !== name.length) return [name];
  const out = [];
  let from = 0;
  for (const [at, n] of spans) {
    if (at < from) continue;
    out.push(name.slice(from, at), make("mark", {}, name.slice(at, at + n)));
    from = at + n;
  }
  return [...out, name.slice(from)];
}
