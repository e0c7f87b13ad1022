// Lists of bars: expressions, action units, speech.

import { plain } from "./numbers.js";

/** Movements by their units, as the Facial Action Coding System names them. */
const UNITS = {
  AU1: "inner brow raiser", AU2: "outer brow raiser", AU4: "brow lowerer", AU5: "upper lid raiser",
  AU6: "cheek raiser", AU7: "lid tightener", AU9: "nose wrinkler", AU10: "upper lip raiser",
  AU12: "lip corner puller", AU14: "dimpler", AU15: "lip corner depressor", AU17: "chin raiser",
  AU20: "lip stretcher", AU23: "lip tightener", AU24: "lip pressor", AU25: "lips part",
  AU26: "jaw drop", AU45: "blink",
};

/** Bars of values from 0 to 1; `columns` are the names of the values, `names` what is written. */
export class Bars {
  #lines;

  constructor(list, columns, names, { tones = {}, thresholds = {}, words = {} } = {}) {
    list.replaceChildren();
    this.#lines = columns.map((column, place) => {
      const line = document.createElement("li");
      line.dataset.column = column;
      const bar = element("span", "bar");
      const fill = element("b");
      bar.append(fill);
      if (tones[column]) fill.style.setProperty("--tone", `var(--${tones[column]})`);
      const threshold = thresholds[column] ?? null;
      if (threshold !== null) {
        bar.style.setProperty("--threshold", `${100 * threshold}%`);
        bar.append(element("u"));
      }
      bar.setAttribute("aria-hidden", "true");
      const value = element("span", "value");
      line.append(element("span", "", names[place]));
      if (words[column]) line.append(element("em", "", words[column]));
      line.append(bar, value);
      list.append(line);
      return { column, threshold, line, fill, value };
    });
  }

  /** Draw the values of a row, or nothing if it is undefined. */
  draw(row) {
    for (const { column, fill } of this.#lines) fill.style.setProperty("--value", row?.[column] ?? 0);
  }

  /** Write the values as numbers; bold is what reaches its threshold, or without thresholds the `marked` column. */
  write(row, marked) {
    for (const { column, threshold, line, value } of this.#lines) {
      value.textContent = plain(row?.[column]);
      line.classList.toggle("on", threshold === null ? column === marked : (row?.[column] ?? -1) >= threshold);
    }
  }
}

/** Bars of the expressions, in the order of their classes. */
export function expressionBars(list, classes) {
  const columns = classes.map((name) => `p_${name.toLowerCase()}`);
  const tones = Object.fromEntries(columns.map((column, place) => [column, classes[place].toLowerCase()]));
  return new Bars(list, columns, classes, { tones });
}

/** Bars of the action units in the order of their numbers, with a line at each threshold. */
export function unitBars(list, units, thresholds) {
  const number = (unit) => Number(unit.slice(2));
  const names = [...units].sort((one, other) => number(one) - number(other));
  const by = (facts) => Object.fromEntries(names.map((unit) => [`au_${number(unit)}`, facts[unit]]));
  return new Bars(list, names.map((unit) => `au_${number(unit)}`), names, { thresholds: by(thresholds), words: by(UNITS) });
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}
