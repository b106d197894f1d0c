// Heads as they come from Rust: a text whose first line has the headers' names, a comma between them, the next lines what the caller
// knows of, and the last ones the headers' values.

const known = new Map();

/**
 * Takes a head apart: `[first lines, headers]`. Names are kept from one head to the next: a property's name that was cut out of a
 * text costs the engine a search among all names, for each header of each request.
 */
export function headOf(text, linesCount) {
  const lines = text.split("\n");
  let names = known.get(lines[0]);
  if (names === undefined) {
    names = lines[0].split(",");
    known.set(lines[0], names);
  }
  const headers = {};
  const before = linesCount + 1;
  // No name is one name, the empty one.
  if (lines.length - before !== (lines[0] === "" ? 0 : names.length)) throw new TypeError("a head with a line too many or too few");
  for (let i = before; i < lines.length; i++) headers[names[i - before]] = lines[i];
  return [lines, headers];
}
