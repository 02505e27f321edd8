// @ts-check
// What a model says, before and after heads are switched off. Needs text.js and card.js.

/**
 * A number as the page shows it: a probability, a score or a cosine.
 * @param {number} value
 */
const formatAnswer = (value, signed = false) => formatNumber(value, "", signed);

/**
 * Renders the answers of a model.
 * @param {HTMLElement} place
 * @param {any[]} answers as answers.py makes them
 * @param {string[]} tokens of the first example
 * @param {boolean} isChanged whether heads are switched off
 */
function renderAnswers(place, answers, tokens, isChanged) {
  const ofText = answers.filter(({ token }) => token === null);
  const ofTokens = answers.filter(({ token }) => token !== null);
  // A tag for every token would be a long table; a guess for every mask is a short one.
  const areMany = ofTokens.length > 3;
  const tables = areMany ? ofText : answers;
  place.replaceChildren(
    ...tables.flatMap((answer) => answerTable(answer, tokens, isChanged)),
    ...(areMany ? [tagLine(ofTokens, tokens, isChanged)] : []),
  );
}

/**
 * One answer: in a sentence, and its numbers.
 * @param {any} answer
 * @param {string[]} tokens
 * @param {boolean} isChanged
 */
function answerTable({ token, before, after, unit, values, left_out }, tokens, isChanged) {
  const about = token === null ? "" : `${visible(tokens[token])} (token ${token + 1}): `;
  const parts = [about, element("strong", { dir: "auto" }, visible(before))];
  if (isChanged) {
    const verb = before === after ? " with all heads on, and still " : " with all heads on, ";
    const changed = before === after ? "" : " without them";
    parts.push(verb, element("strong", { dir: "auto" }, visible(after)), changed);
  }
  const sentence = before ? [element("p", { class: "verdict" }, ...parts)] : [];
  const columns = isChanged ? ["All heads on", "Heads off", "Change"] : ["All heads on"];
  const title = unit[0].toUpperCase() + unit.slice(1);
  const lines = values.map((/** @type {any} */ value) => [
    visible(value.name),
    cellWithBar(value.before, unit),
    ...(isChanged ? [cellWithBar(value.after, unit), changeOf(value)] : []),
  ]);
  const table = headTable(`${title} of`, ["", ...columns], lines);
  table.querySelectorAll("td").forEach((cell) => cell.classList.add("value"));
  const more = left_out ? [element("p", { class: "note" }, `${left_out} more are not shown.`)] : [];
  return [...sentence, table, ...more];
}

/**
 * A number over a bar of its size; scores have no largest value and no bar.
 * @param {number} value
 * @param {string} unit
 */
function cellWithBar(value, unit) {
  if (unit === "score") return formatAnswer(value);
  const bar = element("span", { class: "size", "aria-hidden": "true" });
  bar.style.width = `${100 * clamp(Math.abs(value), 0, 1)}%`;
  return element("span", {}, bar, formatAnswer(value));
}

/** @param {{before: number, after: number}} value */
function changeOf({ before, after }) {
  const text = formatAnswer(after - before, true);
  return element("span", { class: text.startsWith("−") ? "fell" : "" }, text);
}

/**
 * The tags of all tokens in a line.
 * @param {any[]} answers
 * @param {string[]} tokens
 * @param {boolean} isChanged
 */
function tagLine(answers, tokens, isChanged) {
  const tagged = answers.map(({ token, before, after, values }) => {
    const [best] = values;
    const now = values.find((/** @type {any} */ value) => value.name === after);
    const tag = before === after ? before : `${before} → ${after}`;
    const without = isChanged ? `; heads off: ${after} ${formatAnswer(now.after)}` : "";
    const title = `${before} ${formatAnswer(best.before)}${without}`;
    return element(
      "span",
      { class: before === after ? "tagged" : "tagged changed", title: visible(title) },
      visible(tokens[token]),
      element("small", {}, visible(tag)),
    );
  });
  const changed = answers.filter(({ before, after }) => before !== after).length;
  const summary = isChanged
    ? `${changed} of ${answers.length} tokens have another tag without these heads.`
    : "The tag of every token:";
  return element("div", {}, element("p", { class: "verdict" }, summary), ...tagged);
}
