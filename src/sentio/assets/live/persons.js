// The list of persons: who is shown, and their names.

import { personColour } from "./colours.js";

const AWAY_S = 1;

/** Calls `onSelect(person)` and `onName(person, name)`. */
export class Persons {
  selected = null;
  #lines = new Map(); // person -> its line of the list and when it was seen

  constructor(list, onSelect, onName) {
    this.list = list;
    this.onSelect = onSelect;
    this.onName = onName;
  }

  /** A person is in the picture; the first one becomes the one that is shown. */
  see(person, time_s) {
    if (!this.#lines.has(person)) this.#lines.set(person, this.#add(person));
    this.#lines.get(person).seen_s = time_s;
    if (this.selected === null) this.select(person);
  }

  /** The given name, or "person 2". */
  name(person) {
    return this.#lines.get(person)?.field.value.trim() || `person ${person}`;
  }

  select(person) {
    this.selected = person;
    this.#lines.get(person).choice.checked = true;
    this.onSelect(person);
  }

  /** Select by the place in the list, from 0. */
  selectPlace(place) {
    const person = [...this.#lines.keys()][place];
    if (person !== undefined) this.select(person);
  }

  /** Write into the name of the one that is shown. */
  focusName() {
    this.#lines.get(this.selected)?.field.select();
  }

  present(person, now_s) {
    return now_s - (this.#lines.get(person)?.seen_s ?? -Infinity) < AWAY_S;
  }

  /** Persons in the picture. */
  count(now_s) {
    return [...this.#lines.keys()].filter((person) => this.present(person, now_s)).length;
  }

  /** Write what each shows; `word(person)` is its expression, `speaks(person)` whether it speaks. */
  write(now_s, word, speaks) {
    for (const [person, { line, voice, state }] of this.#lines) {
      const here = this.present(person, now_s);
      line.classList.toggle("away", !here);
      voice.textContent = here && speaks(person) ? "speaks" : "";
      state.textContent = here ? word(person) : "away";
    }
  }

  clear() {
    this.#lines.clear();
    this.list.replaceChildren();
    this.selected = null;
  }

  #add(person) {
    const line = document.createElement("li");
    const choice = Object.assign(document.createElement("input"), { type: "radio", name: "person", value: person });
    choice.setAttribute("aria-label", `Show person ${person}`);
    choice.addEventListener("change", () => this.select(person));
    const tone = document.createElement("i");
    tone.style.background = personColour(person);
    const field = Object.assign(document.createElement("input"), { type: "text", maxLength: 60, placeholder: `person ${person}` });
    field.setAttribute("aria-label", `Name of person ${person}`);
    field.addEventListener("change", () => this.onName(person, field.value.trim()));
    field.addEventListener("keydown", ({ key }) => key === "Enter" && field.blur());
    const [voice, state] = ["speaks", "value"].map((name) => Object.assign(document.createElement("span"), { className: name }));
    line.append(choice, tone, field, voice, state);
    this.list.append(line);
    return { line, choice, field, voice, state, seen_s: 0 };
  }
}
