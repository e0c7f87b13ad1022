// Light and dark: as the system has it, or as it was chosen.

import { forgetColours } from "./colours.js";

const CHOICES = ["system", "light", "dark"];
const KEPT = "sentio-theme";

/** Makes `button` switch the theme; `onChange()` redraws. Gives the function that switches. */
export function bindTheme(button, onChange) {
  const apply = (choice) => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = `Theme: ${choice}`;
    localStorage.setItem(KEPT, choice);
    forgetColours();
    onChange();
  };
  let place = Math.max(0, CHOICES.indexOf(localStorage.getItem(KEPT)));
  const advance = () => {
    place = (place + 1) % CHOICES.length;
    apply(CHOICES[place]);
  };
  apply(CHOICES[place]);
  button.addEventListener("click", advance);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(CHOICES[place]));
  return advance;
}
