// The ledger's filter: words that a row must contain, and conditions on columns: val_loss<2.4 task=quick status!=ok

const CONDITION = /^([a-z0-9_]+)(<=|>=|!=|<|>|=)(.*)$/;
const COMPARE = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
};

function condition(column, operator, wanted) {
  if (operator in COMPARE) {
    const bound = Number(wanted);
    return (row) => row[column] !== "" && COMPARE[operator](Number(row[column]), bound);
  }
  const text = wanted.toLowerCase();
  const equal = (row) => (row[column] ?? "").toLowerCase() === text ||
    (text !== "" && row[column] !== "" && Number(row[column]) === Number(text));
  return operator === "=" ? equal : (row) => !equal(row);
}

// A function of a row (an object of texts). Quotes keep words together: "two words".
export function makeFilter(text, columns) {
  const known = new Set(columns);
  const tests = [];
  for (const [word] of text.matchAll(/(?:[^\s"]|"[^"]*"?)+/g)) {
    const bare = word.replaceAll('"', "");
    const found = CONDITION.exec(bare);
    if (found && known.has(found[1])) {
      if (found[3] !== "" || found[2] === "=" || found[2] === "!=") tests.push(condition(found[1], found[2], found[3]));
    } else if (bare) {
      const lower = bare.toLowerCase();
      tests.push((row) => columns.some((name) => row[name]?.toLowerCase().includes(lower)));
    }
  }
  return (row) => tests.every((test) => test(row));
}
